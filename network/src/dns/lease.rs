//! dnsmasq's lease file, and the packet that ends a lease.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::{Mac, NetworkError, Result};

/// One line of the lease file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileLease {
    /// Who has it; not there for DHCPv6.
    pub mac: Option<Mac>,
    pub address: IpAddr,
    /// Empty if it gave none.
    pub hostname: String,
    /// What the client calls itself; empty if it does not.
    pub client_id: Vec<u8>,
}

/// Reads the file: `expiry mac address name client-id` a line, for DHCPv6 `expiry iaid address name
/// duid`, and `duid ...` for the server's own. What is none of these is left out: a line may be
/// half written.
pub(super) fn parse(text: &str) -> Vec<FileLease> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<FileLease> {
    let mut fields = line.split_ascii_whitespace();
    fields.next()?.parse::<u64>().ok()?;
    let who = fields.next()?;
    let address: IpAddr = fields.next()?.parse().ok()?;
    let given = |field: &&str| *field != "*";
    let hostname = fields.next().filter(given).unwrap_or_default().to_owned();
    let client_id = fields.next().filter(given).unwrap_or_default();
    let bytes = client_id.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let client_id = bytes.collect::<Result<Vec<u8>, _>>().unwrap_or_default();
    // Other hardware than Ethernet has its type in front of it.
    let mac = if address.is_ipv4() { who.parse().ok() } else { None };
    Some(FileLease { mac, address, hostname, client_id })
}

/// A DHCPRELEASE (RFC 2131) in the holder's name.
pub(super) fn release_packet(
    address: Ipv4Addr,
    mac: Mac,
    server: Ipv4Addr,
    client_id: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0; 236];
    packet[0] = 1; // from a client
    packet[1] = 1; // Ethernet
    packet[2] = 6; // of six bytes
    packet[4..8].copy_from_slice(&rand::random::<[u8; 4]>());
    packet[12..16].copy_from_slice(&address.octets());
    packet[28..34].copy_from_slice(&mac.0);
    packet.extend([99, 130, 83, 99]); // options follow
    packet.extend([53, 1, 7]); // message type: release
    packet.extend([54, 4]); // server
    packet.extend(server.octets());
    if let (false, Ok(length)) = (client_id.is_empty(), u8::try_from(client_id.len())) {
        packet.extend([61, length]);
        packet.extend(client_id);
    }
    packet.push(255);
    packet
}

/// Sends a packet to a server on this host so that it comes in by the bridge, on which alone it
/// listens.
pub(super) async fn send_through(bridge: &str, packet: &[u8], to: SocketAddr) -> Result<()> {
    let send = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.bind_device(Some(bridge.as_bytes()))?;
        socket.send_to(packet, to).await?;
        Ok::<_, io::Error>(())
    };
    send.await.map_err(|source| NetworkError::Netlink {
        op: "send DHCP release through",
        object: bridge.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read_and_the_rest_is_left_out() {
        let text = "1700000000 00:16:3e:00:00:01 10.0.0.2 web1 01:00:16:3e:00:00:01\n\
                    1700000000 00:16:3e:00:00:02 10.0.0.3 * *\n\
                    duid 00:01:00:01:2c\n\
                    1700000000 123 fd42::2 web1 00:01:02\n\
                    17000";
        let leases = parse(text);
        assert_eq!(leases.len(), 3);
        assert_eq!(leases[0].client_id, [1, 0, 0x16, 0x3e, 0, 0, 1]);
        assert_eq!((leases[1].hostname.as_str(), leases[1].client_id.len()), ("", 0));
        assert_eq!((leases[2].mac, leases[2].address.is_ipv6()), (None, true));
    }

    #[test]
    fn a_release_names_its_holder() {
        let mac: Mac = "00:16:3e:00:00:01".parse().unwrap();
        let packet =
            release_packet("10.0.0.2".parse().unwrap(), mac, "10.0.0.1".parse().unwrap(), &[1, 2]);
        assert_eq!(packet[12..16], [10, 0, 0, 2]);
        assert_eq!(packet[28..34], mac.0);
        assert_eq!(packet[240..], [53, 1, 7, 54, 4, 10, 0, 0, 1, 61, 2, 1, 2, 255]);
    }
}
