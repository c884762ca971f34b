//! Programs started inside: those that daemons ask for, and the agent's own.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use sc_agent_protocol::{Event, ExecRequest, Reply};
use sc_sys::epoll::Interest;

use super::{Pending, Supervisor, token};
use crate::exec::{ExecFailure, Job, News, Owner};

impl Supervisor {
    /// Runs a program of the agent's own inside, without input and output.
    pub(super) fn run_inside(&mut self, command: Vec<String>) {
        let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
        let descriptors = [null(), null(), null()].into_iter().flatten().map(Into::into).collect();
        let request = ExecRequest {
            command,
            environment: Vec::new(),
            cwd: Some("/".into()),
            user: 0,
            group: 0,
            terminal: None,
        };
        if let Err(failure) = self.start_exec(&request, None, descriptors, Owner::Agent) {
            self.stop_command_failed(&failure.to_string());
        }
    }

    fn stop_command_failed(&mut self, why: &str) {
        self.journal.say(format!("stop: the command failed: {why}"));
        if let Some(stop) = &mut self.stop {
            stop.command_failed();
        }
    }

    /// Starts a program inside and has its execution watched.
    pub(super) fn start_exec(
        &mut self,
        request: &ExecRequest,
        words: Option<OwnedFd>,
        descriptors: Vec<OwnedFd>,
        owner: Owner,
    ) -> Result<(), ExecFailure> {
        let ready = self.guest.as_ref().and_then(|guest| Some((guest, guest.devpts.as_ref()?)));
        let Some((guest, devpts)) = ready else {
            let errno = Errno::SRCH.raw_os_error();
            return Err(ExecFailure { step: "find PID 1".into(), errno });
        };
        let host = Rc::clone(self.host());
        let job = Job {
            host: &host,
            init: guest.pidfd.as_fd(),
            devpts: devpts.as_fd(),
            ids: self.spec.ids,
            environment: &self.spec.environment,
            request,
            words,
            descriptors,
        };
        let (id, status) = self.execs.start(job, owner)?;
        self.poller.add(status, token::FIRST_EXEC + id, Interest::Read)?;
        Ok(())
    }

    /// Tells of programs: replies to who asked, and their ends.
    pub(super) fn tell_execs(&mut self, news: impl IntoIterator<Item = News>) {
        for news in news {
            match news {
                News::Started {
                    exec,
                    pid,
                    owner: Owner::Daemon { connection, request },
                    master,
                } => {
                    let to = Pending { connection, request };
                    let pid = pid.unsigned_abs();
                    self.reply(to, Reply::ExecStarted { exec, pid }, master.into_iter().collect());
                }
                News::Failed { owner: Owner::Daemon { connection, request }, failure } => {
                    let to = Pending { connection, request };
                    let reply = Reply::ExecFailed { step: failure.step, errno: failure.errno };
                    self.reply(to, reply, Vec::new());
                }
                News::Exited { exec, owner: Owner::Daemon { .. }, exit } => {
                    let status = exit.shell_code();
                    self.tell(Event::ExecExited { exec, status }, Vec::new());
                }
                News::Failed { owner: Owner::Agent, failure } => {
                    self.stop_command_failed(&failure.to_string());
                }
                News::Exited { owner: Owner::Agent, exit, .. } if !exit.success() => {
                    self.stop_command_failed(&exit.to_string());
                }
                News::Started { .. } | News::Exited { .. } => {}
            }
        }
        self.execs.clear_up();
    }
}
