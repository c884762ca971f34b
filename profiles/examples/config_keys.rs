//! Prints the document of configuration keys.

fn main() {
    print!("{}", sc_profiles::docs());
}
