//! The owner changes and deletes its instance.

use std::sync::Arc;

use super::{Owner, State};
use crate::error::Result;
use crate::etag::IfMatch;
use crate::instance::config::Checked;
use crate::instance::queue::Ask;
use crate::instance::update::{Holder, Update};
use crate::instance::view::Phase;
use crate::instance::{config, delete, nics, update};

impl Owner {
    /// A profile may have brought a NIC, or taken one away, while the instance was stopped. Returns what its
    /// configuration comes to with what is held now.
    pub(super) async fn hold_nics(&mut self, checked: Checked) -> Result<Checked> {
        let before = self.record();
        let mut after = (*before).clone();
        let _held = self.ctx.references.hold().await;
        if !nics::hold(&self.ctx, &mut after, &checked.effective)? {
            return Ok(checked);
        }
        if let Err(error) = update::commit(&self.ctx, &after).await {
            nics::put_back(&self.ctx, &before, &after.nics);
            return Err(error);
        }
        nics::settle(&self.ctx, &before, &after).await;
        self.keep(after);
        config::of_record(&self.ctx, &self.record())
    }

    /// Whether a configuration has other NICs than the instance is shown with.
    fn lacks_nics_of(&self, checked: &Checked) -> Result<bool> {
        Ok(config::shown(&self.view.borrow())?.nics != checked.effective.nics)
    }

    pub(super) async fn delete(&mut self) -> Result<()> {
        self.admit(Ask::Delete)?;
        self.show(Phase::Deleting);
        let begun = self.leftover.deletion;
        let deleted = match self.clear_left().await {
            Ok(()) => delete::delete(&self.ctx, &self.record(), begun).await,
            Err(error) => Err(delete::Failed { error, begun }),
        };
        match deleted {
            Ok(()) => {
                self.forget_restarts().await;
                self.instances.remove_shown(&self.record().name, &self.view);
                self.lifecycle("instance-deleted");
                self.state = State::Gone;
                Ok(())
            }
            Err(failed) => {
                self.leftover.deletion = failed.begun;
                self.enter(State::Stopped);
                Err(failed.error)
            }
        }
    }

    pub(super) async fn update(&mut self, update: Update, guard: &IfMatch) -> Result<()> {
        self.admit(Ask::Update)?;
        guard.check(&self.record().guarded())?;
        let before = self.record();
        let changed = update::changed(&before, update.applied_to(before.put()))?;
        let show = |record, expanded| {
            self.view.send_modify(|view| {
                view.record = Arc::new(record);
                view.expanded = Arc::new(expanded);
            });
        };
        let holder = match self.run_now() {
            Some(run) => Holder::Guest(run),
            None if self.leftover.run.is_some() => Holder::Remains,
            None => Holder::Nobody,
        };
        update::update(&self.ctx, &before, changed, holder, show).await?;
        self.keep_copy();
        self.lifecycle("instance-updated");
        Ok(())
    }

    pub(super) async fn take_over_profiles(&mut self) -> Result<()> {
        let record = self.record();
        let mut checked = config::of_record(&self.ctx, &record)?;
        match self.run_now() {
            Some(run) => {
                update::apply_limits(&self.ctx, &run, &checked.effective.limits).await?;
            }
            // When it is found again its limits are set as they are then.
            None if matches!(self.state, State::Silent(_)) => {}
            // One that is being made may still be taken back, with what it holds now.
            None if matches!(self.state, State::Creating) => {}
            // Of one that is to be deleted, and could not be yet, nothing needs to be held; and what is left
            // of a run has what it was started with until it is cleared up.
            None if self.leftover.deletion.is_some() || self.leftover.run.is_some() => {}
            None => match self.hold_nics(checked.clone()).await {
                Ok(now) => checked = now,
                Err(error) => {
                    if self.lacks_nics_of(&checked)? {
                        return Err(error);
                    }
                    // It could not have them before; the next start tells whoever wants it.
                    tracing::warn!(instance = %record.name, error = %error.chain(), "hold NICs");
                }
            },
        }
        self.view.send_modify(|view| view.expanded = Arc::new(checked.expanded));
        self.keep_copy();
        Ok(())
    }
}
