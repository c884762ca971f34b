//! What the caller tells the process that sets a sandbox up: one line of numbers, then the payload.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::outside::Limits;
use crate::error::{Result, SysError};
use crate::unix::Message;

/// The numbers, which also say what the descriptors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) inputs: usize,
    /// One bit for each input that comes as a mount as well.
    pub(super) mounted: u64,
    pub(super) target: bool,
    /// The host id that the child is.
    pub(super) host_id: u32,
    /// The capabilities that the child keeps, as the kernel shows a set.
    pub(super) capabilities: u64,
    pub(super) limits: Limits,
}

/// A spec with its descriptors told apart.
pub(super) struct Received {
    pub(super) userns: OwnedFd,
    pub(super) inputs: Vec<OwnedFd>,
    /// Mounts of inputs, with the input's index.
    pub(super) mounts: Vec<(usize, OwnedFd)>,
    pub(super) target: Option<OwnedFd>,
    pub(super) host_id: u32,
    pub(super) capabilities: u64,
    pub(super) limits: Limits,
    pub(super) payload: Vec<u8>,
}

impl Spec {
    /// Writes the message's bytes.
    pub(super) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let Limits { memory, cpu, file_size, processes, open_files, wall } = self.limits;
        let numbers = [
            self.inputs as u64,
            self.mounted,
            u64::from(self.target),
            self.host_id.into(),
            self.capabilities,
            memory,
            cpu.as_secs().max(1),
            file_size,
            processes,
            open_files,
            u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        ];
        let mut bytes = numbers.map(|n| n.to_string()).join(" ").into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(payload);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let numbers: Vec<u64> = line.split(' ').map_while(|number| number.parse().ok()).collect();
        let &[inputs, mounted, target, host_id, capabilities, ref limits @ ..] = numbers.as_slice()
        else {
            return None;
        };
        let &[memory, cpu, file_size, processes, open_files, wall] = limits else {
            return None;
        };
        let limits = Limits {
            memory,
            cpu: Duration::from_secs(cpu),
            file_size,
            processes,
            open_files,
            wall: Duration::from_millis(wall),
        };
        let inputs = usize::try_from(inputs).ok()?;
        let host_id = u32::try_from(host_id).ok()?;
        let spec = Self { inputs, mounted, target: target == 1, host_id, capabilities, limits };
        Some((spec, &bytes[end + 1..]))
    }
}

impl Received {
    /// Takes a message apart; the descriptors come in the order of the fields.
    pub(super) fn from_message(message: Message) -> Result<Self> {
        let wrong = || {
            let kind = io::ErrorKind::InvalidData;
            SysError::message("read", "sandbox description", kind, "it is not one of this version")
        };
        let (spec, payload) = Spec::decode(&message.bytes).ok_or_else(wrong)?;
        let mut descriptors = message.descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(wrong);
        let userns = next()?;
        let inputs = (0..spec.inputs).map(|_| next()).collect::<Result<_>>()?;
        let mounts = (0..spec.inputs.min(64))
            .filter(|index| spec.mounted >> index & 1 == 1)
            .map(|index| Ok((index, next()?)))
            .collect::<Result<_>>()?;
        let target = if spec.target { Some(next()?) } else { None };
        let Spec { host_id, capabilities, limits, .. } = spec;
        let payload = payload.to_vec();
        Ok(Self { userns, inputs, mounts, target, host_id, capabilities, limits, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let limits = Limits { wall: Duration::from_millis(1500), ..Limits::default() };
        let (host_id, capabilities) = (0x7000_0000, 1 << 31);
        let spec = Spec { inputs: 2, mounted: 0b10, target: true, host_id, capabilities, limits };
        let bytes = spec.encode(b"pay\nload");
        assert_eq!(Spec::decode(&bytes), Some((spec, &b"pay\nload"[..])));
        assert_eq!(Spec::decode(b"1 2\n"), None);
    }

    #[test]
    fn missing_descriptors_are_refused() {
        let limits = Limits::default();
        let (mounted, target, host_id, capabilities) = (0, false, 1, 0);
        let spec = Spec { inputs: 1, mounted, target, host_id, capabilities, limits };
        let message = Message { bytes: spec.encode(b""), descriptors: Vec::new() };
        assert!(Received::from_message(message).is_err());
    }
}
