//! Prints the document of network keys.

fn main() {
    print!("{}", sc_network_config::docs());
}
