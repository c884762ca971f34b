//! The dnsmasq of a network.
