//! Lists that the kernel sends in parts.
//!
//! It makes one at a time on each socket and refuses a second with EBUSY, so they take turns. One that
//! changed while it was sent may lack entries: it is asked for again.

use std::num::NonZeroI32;

use futures::{Stream, StreamExt};
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::{Links, failed};
use crate::Result;

/// How often a list is asked for that changes all the time; then the last one has to do.
const MOST_TRIES: usize = 8;

/// A list that has come to its end.
#[derive(Debug)]
struct Dump<T> {
    all: Vec<T>,
    /// It has changed while it was sent.
    was_interrupted: bool,
}

impl Links {
    /// Asks for a list of `what`; `read` takes the entries that are wanted.
    pub(super) async fn dump<T: Send + 'static>(
        &self,
        what: &'static str,
        request: RouteNetlinkMessage,
        read: fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>> {
        let links = self.clone();
        // A task of its own: a list that nobody awaits any more is still on its way in the socket, and
        // the next has to wait for its end.
        let task = tokio::spawn(async move {
            let _turn = links.turn.lock().await;
            links.dump_whole(request, read).await
        });
        let ended = task.await.map_err(|_| rtnetlink::Error::RequestFailed);
        ended.flatten().map_err(failed("list", what))
    }

    async fn dump_whole<T>(
        &self,
        request: RouteNetlinkMessage,
        read: fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, rtnetlink::Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut message = NetlinkMessage::from(request.clone());
            message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
            let dump = gather(self.handle().request(message)?, read).await?;
            if !dump.was_interrupted || tries == MOST_TRIES {
                return Ok(dump.all);
            }
        }
    }
}

fn fail<T>(code: NonZeroI32) -> Result<T, rtnetlink::Error> {
    let mut message = ErrorMessage::default();
    message.code = Some(code);
    Err(rtnetlink::Error::NetlinkError(message))
}

/// Takes the messages of one list.
async fn gather<T>(
    messages: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>>,
    read: fn(RouteNetlinkMessage) -> Option<T>,
) -> Result<Dump<T>, rtnetlink::Error> {
    let mut dump = Dump { all: Vec::new(), was_interrupted: false };
    let mut messages = std::pin::pin!(messages);
    while let Some(message) = messages.next().await {
        dump.was_interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => dump.all.extend(read(inner)),
            NetlinkPayload::Error(error) => return Err(rtnetlink::Error::NetlinkError(error)),
            NetlinkPayload::Done(done) => return NonZeroI32::new(done.code).map_or(Ok(dump), fail),
            _ => {}
        }
    }
    // The task that drives the socket has ended.
    Err(rtnetlink::Error::RequestFailed)
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::LinkMessage;

    use super::*;
    use crate::testing::in_namespace;

    #[test]
    fn lists_that_are_asked_for_at_once_all_come() {
        in_namespace(async {
            let links = Links::new().unwrap();
            let both = || futures::future::join(links.list(), links.in_use(None));
            for (devices, in_use) in futures::future::join_all((0..40).map(|_| both())).await {
                assert!(devices.unwrap().iter().any(|device| device.name == "lo"));
                in_use.unwrap();
            }
        });
    }

    #[test]
    fn a_list_that_is_given_up_does_not_hinder_the_next() {
        in_namespace(async {
            let links = Links::new().unwrap();
            for rounds in 0..6 {
                let mut given_up = Box::pin(links.list());
                assert!(futures::poll!(&mut given_up).is_pending());
                for _ in 0..rounds {
                    tokio::task::yield_now().await;
                }
                drop(given_up);
                links.list().await.unwrap();
            }
        });
    }

    #[test]
    fn a_list_that_changed_meanwhile_is_known_by_any_of_its_messages() {
        let of = |flags: [u16; 2]| {
            let link = RouteNetlinkMessage::NewLink(LinkMessage::default());
            let mut messages = [NetlinkMessage::from(link), done(0)];
            for (message, flags) in messages.iter_mut().zip(flags) {
                message.header.flags = flags;
            }
            gathered(messages).unwrap()
        };
        assert!(!of([0, 0]).was_interrupted);
        assert!(of([NLM_F_DUMP_INTR, 0]).was_interrupted);
        assert!(of([0, NLM_F_DUMP_INTR]).was_interrupted);
    }

    #[test]
    fn a_list_that_ends_by_an_error_or_not_at_all_is_none() {
        let error = failed("list", "links")(gathered([done(-19)]).unwrap_err());
        assert!(error.is_missing(), "{error:?}");
        assert!(gathered([]).is_err());
    }

    fn done(code: i32) -> NetlinkMessage<RouteNetlinkMessage> {
        let [length, kind, sequence, port] = [20_u32, 3, 0, 0].map(u32::to_ne_bytes);
        let bytes = [length, kind, sequence, port, code.to_ne_bytes()].concat();
        NetlinkMessage::deserialize(&bytes).unwrap()
    }

    fn gathered<const N: usize>(
        messages: [NetlinkMessage<RouteNetlinkMessage>; N],
    ) -> Result<Dump<RouteNetlinkMessage>, rtnetlink::Error> {
        futures::executor::block_on(gather(futures::stream::iter(messages), Some))
    }
}
