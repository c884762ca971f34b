//! The supervisor tells its daemon of the guest's interfaces.

use std::time::Instant;

use sc_agent_protocol::Event;

use super::{Supervisor, token};
use crate::connection::Connection;

impl Supervisor {
    /// Takes note of a change. Until it is told no more are listened to: they cost the agent nothing then,
    /// however many the guest makes.
    pub(super) fn network_ready(&mut self) {
        let Some(network) = &mut self.network else { return };
        if network.drain() {
            network.rest(&self.poller);
            self.network_changes.happened(Instant::now());
        }
    }

    /// Tells how the interfaces are now. A daemon that is behind with its reading gets the newest once it
    /// has caught up, so that a guest cannot fill its queue.
    pub(super) fn tell_interfaces(&mut self, now: Instant) {
        if !self.connections.iter().all(Connection::is_flushed) {
            return self.network_changes.put_off(now);
        }
        // Before they are asked for: what comes later is a change anew.
        if let Some(network) = &mut self.network {
            network.drain();
        }
        if let Some(interfaces) = self.interfaces() {
            self.tell(Event::Interfaces(interfaces), Vec::new());
        }
        self.network_changes.told(now, Instant::now());
        self.listen_to_network();
    }

    pub(super) fn listen_to_network(&mut self) {
        if let Some(network) = &mut self.network
            && let Err(error) = network.listen(&self.poller, token::NETWORK)
        {
            self.journal.say(format!("{error}: {}", error.io()));
        }
    }

    pub(super) fn interfaces(&mut self) -> Option<Vec<sc_agent_protocol::Interface>> {
        match self.network.as_mut()?.interfaces() {
            Ok(interfaces) => Some(interfaces),
            Err(error) => {
                self.journal.say(format!("{error}: {}", error.io()));
                None
            }
        }
    }
}
