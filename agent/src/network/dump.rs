//! Lists that the kernel sends in parts, and which of their entries are told where a guest has too many.

use std::collections::HashMap;

use super::message::{self, Address, Link, kind};

/// A guest with more than this has its surplus left out, so that one message holds them.
const MOST_LINKS: usize = 256;
const MOST_ADDRESSES: usize = 512;
/// One interface with very many does not take the place of the others'.
const MOST_ON_ONE: usize = 64;

/// A list on its way.
#[derive(Debug)]
pub(super) struct Dump<T> {
    sequence: u32,
    wanted: u16,
    pub all: Vec<T>,
    pub is_done: bool,
    /// It has changed while it was sent: entries may be missing.
    pub was_interrupted: bool,
}

impl<T> Dump<T> {
    /// Awaits the answer to a request: entries of one kind.
    pub(super) fn new(sequence: u32, wanted: u16) -> Self {
        Self { sequence, wanted, all: Vec::new(), is_done: false, was_interrupted: false }
    }

    /// Takes a packet; `Err` has the number of the error that came instead of the rest. What answers an
    /// earlier request, given up, is passed over.
    pub(super) fn take(
        &mut self,
        packet: &[u8],
        read: &mut impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<(), i32> {
        for message in message::messages(packet) {
            if message.sequence != self.sequence {
                continue;
            }
            self.was_interrupted |= message.flags & kind::INTERRUPTED != 0;
            match message.kind {
                kind::DONE => self.is_done = true,
                kind::ERROR => match message::error_number(message.payload) {
                    0 => {}
                    errno => return Err(errno),
                },
                kind if kind == self.wanted => self.all.extend(read(message.payload)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Lets the first addresses of each interface through, so that no more than those are ever held.
pub(super) fn few_on_each() -> impl FnMut(&Address) -> bool {
    let mut seen: HashMap<u32, usize> = HashMap::new();
    move |address| {
        let count = seen.entry(address.index).or_default();
        *count += 1;
        *count <= MOST_ON_ONE
    }
}

/// Leaves out what is too many: first what the guest has made itself, then of loopback, last of what is
/// plugged into it.
pub(super) fn choose(links: &mut Vec<Link>, addresses: &mut Vec<Address>) {
    links.sort_by_key(rank);
    links.truncate(MOST_LINKS);
    let ranks: HashMap<u32, usize> =
        (0..).zip(&*links).map(|(at, link)| (link.index, at)).collect();
    addresses.retain(|address| ranks.contains_key(&address.index));
    addresses.sort_by_key(|address| ranks[&address.index]);
    addresses.truncate(MOST_ADDRESSES);
}

fn rank(link: &Link) -> u8 {
    match () {
        () if link.is_guests_own() => 2,
        () if link.is_loopback() => 1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn link(index: u32, flags: u32, kind: Option<&str>) -> Link {
        let mut link = message::link(&message::link_header(index, flags, 0)).unwrap();
        link.kind = kind.map(str::to_owned);
        link
    }

    fn address(index: u32, number: u16) -> Address {
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(10, 0, high, low).into();
        Address { index, family: 2, prefix: 32, scope: 0, address }
    }

    #[test]
    fn many_addresses_on_loopback_leave_the_others_theirs() {
        let (lo, eth0) = (link(1, 8, None), link(2, 1, None));
        let mut few = few_on_each();
        let all = (0..600).map(|number| address(1, number)).chain([address(2, 7)]);
        let mut addresses: Vec<Address> = all.filter(|address| few(address)).collect();
        assert_eq!(addresses.len(), MOST_ON_ONE + 1);
        let mut links = vec![lo, eth0];
        choose(&mut links, &mut addresses);
        assert_eq!(addresses[0], address(2, 7));
        assert_eq!(addresses.len(), MOST_ON_ONE + 1);
    }

    #[test]
    fn what_the_guest_has_made_is_left_out_first() {
        let own = (2..400).map(|index| link(index, 1, Some("dummy")));
        let mut links: Vec<Link> = own.chain([link(1, 8, None), link(500, 1, None)]).collect();
        let mut addresses: Vec<Address> = links
            .iter()
            .flat_map(|link| {
                [address(link.index, 1), address(link.index, 2), address(link.index, 3)]
            })
            .collect();
        choose(&mut links, &mut addresses);
        assert_eq!((links.len(), links[0].index, links[1].index), (MOST_LINKS, 500, 1));
        assert_eq!((addresses.len(), addresses[0].index), (MOST_ADDRESSES, 500));
    }

    #[test]
    fn an_answer_to_an_earlier_request_is_none_and_an_interrupted_list_is_known() {
        let mut dump = Dump::new(7, kind::NEW_LINK);
        let mut read = |payload: &[u8]| message::link(payload).map(|link| link.index);
        let entry = |flags, sequence, index| {
            message::message(kind::NEW_LINK, flags, sequence, &message::link_header(index, 0, 0))
        };
        let late = [entry(0, 6, 1), message::message(kind::DONE, 0, 6, &[0; 4])].concat();
        dump.take(&late, &mut read).unwrap();
        assert!(dump.all.is_empty() && !dump.is_done);
        dump.take(&entry(0, 7, 2), &mut read).unwrap();
        assert!(!dump.was_interrupted);
        let rest = [entry(kind::INTERRUPTED, 7, 3), message::message(kind::DONE, 0, 7, &[0; 4])];
        dump.take(&rest.concat(), &mut read).unwrap();
        assert_eq!((dump.all, dump.is_done, dump.was_interrupted), (vec![2, 3], true, true));
    }
}
