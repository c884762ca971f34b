//! The log as events, for `sc monitor --type logging`.

use std::collections::BTreeMap;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::event::Events;

/// Hands every line of the log to the event hub.
#[derive(Debug)]
pub struct LogEvents {
    events: Events,
}

impl LogEvents {
    /// Hands them to this hub.
    pub fn new(events: Events) -> Self {
        Self { events }
    }
}

impl<S: Subscriber> Layer<S> for LogEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level().as_str().to_lowercase();
        self.events.logging(&level, line.message, line.fields);
    }
}

/// The message and the fields of one line.
#[derive(Debug, Default)]
struct Line {
    message: String,
    fields: BTreeMap<String, String>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.fields.insert(name.to_owned(), format!("{value:?}"));
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[tokio::test]
    async fn a_line_of_the_log_reaches_those_who_listen() {
        let events = Events::new();
        let mut listener = events.subscribe();
        let subscriber = tracing_subscriber::registry().with(LogEvents::new(events));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(instance = "web1", "it has stopped");
        });
        let event = listener.events.recv().await.unwrap();
        assert_eq!(event.metadata["level"], "warn");
        assert_eq!(event.metadata["message"], "it has stopped");
        assert_eq!(event.metadata["context"]["instance"], "web1");
    }
}
