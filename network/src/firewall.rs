//! The nftables table of a network.
