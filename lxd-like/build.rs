//! Builds the static `sc-agent` that `scd` carries inside, and exports its path as `SC_AGENT_PATH`.
//!
//! The agent runs under programs of every age and libc, so it is linked whole, with musl where the toolchain
//! has it: glibc asks the processor some hundred questions at each start, and in a virtual machine each of
//! them takes microseconds. That takes a cargo run of its own: with `crt-static` and an explicit target, else
//! procedural macros do not build. The run has a target folder of its own, because this script runs while
//! cargo holds the lock on the outer one, and shares it between all of the outer profiles, because the agent
//! is the same in each.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The profile of the workspace's manifest that the agent is built with.
const PROFILE: &str = "agent";
/// What the agent is made of, from the workspace's root.
const SOURCES: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml",
    "agent/Cargo.toml",
    "agent/protocol/Cargo.toml",
    "agent/protocol/src",
    "agent/src",
    "sys/Cargo.toml",
    "sys/src",
];
/// What cargo sets for this script, or a caller for the outer build, and that would change the inner one.
const FOREIGN_VARIABLES: [&str; 4] =
    ["CARGO_BUILD_TARGET", "CARGO_BUILD_TARGET_DIR", "CARGO_TARGET_DIR", "RUSTC_WORKSPACE_WRAPPER"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: building the embedded sc-agent: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir.parent().ok_or("the package has no parent folder")?;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let target = target.to_str().ok_or("TARGET is not UTF-8")?;
    let target = with_musl(target)?;
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        // From the package's folder: what several checkouts with one target folder share would else look at
        // the one that has built it.
        println!("cargo::rerun-if-changed=../{source}");
    }

    let built = build(workspace, &agent_folder(&out_dir)?, &target)?;
    // A copy of this build's own: the shared folder may be written by another build while `scd` embeds it.
    let agent = out_dir.join("sc-agent");
    let bytes = fs::read(&built).map_err(|e| format!("read {}: {e}", built.display()))?;
    if needs_interpreter(&bytes).ok_or("the result is no 64-bit ELF file")? {
        return Err("it came out dynamic: something overrides `-C target-feature=+crt-static`, \
                    or the toolchain has no static C library (package libc6-dev)"
            .into());
    }
    fs::write(&agent, bytes).map_err(|e| format!("write {}: {e}", agent.display()))?;
    println!("cargo::rustc-env=SC_AGENT_PATH={}", agent.display());
    Ok(())
}

/// The target of the same processor with musl for its C library, where the toolchain has that.
fn with_musl(target: &str) -> Result<String, String> {
    let musl = target.replace("-gnu", "-musl");
    let mut rustc = Command::new(variable("RUSTC")?);
    let output = rustc.args(["--print", "target-libdir", "--target", &musl]).output();
    let output = output.map_err(|e| format!("run {rustc:?}: {e}"))?;
    let folder = String::from_utf8_lossy(&output.stdout);
    let there = output.status.success() && Path::new(folder.trim()).is_dir();
    Ok(if there { musl } else { target.to_owned() })
}

/// Runs cargo for the agent and returns where the program is.
fn build(workspace: &Path, folder: &Path, target: &str) -> Result<PathBuf, String> {
    let cargo = variable("CARGO")?;
    let mut command = Command::new(&cargo);
    command
        .current_dir(workspace)
        .args(["build", "--locked", "--package", "sc-agent", "--bin", "sc-agent"])
        .args(["--profile", PROFILE, "--target", target])
        .arg("--target-dir")
        .arg(folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN_VARIABLES.contains(&&*text) || text.starts_with("CARGO_PROFILE_") {
            command.env_remove(&name);
        }
    }
    // Else a build folder configured for the outer build would be shared, and its lock waited for.
    command.env("CARGO_BUILD_BUILD_DIR", folder);
    // Cargo gives build scripts this variable, empty; it overrides all other ways to give flags.
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let output = command.output().map_err(|e| format!("run {}: {e}", cargo.to_string_lossy()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} ended with {}\n{words}", output.status));
    }
    Ok(folder.join(target).join(PROFILE).join("sc-agent"))
}

/// Returns the agent's own target folder, beside what the outer build makes.
///
/// `OUT_DIR` is `<target folder>[/<triple>]/<profile>/build/<package>-<hash>/out`; the triple is there
/// when the outer build names one, and then the agent's folder lies in it.
fn agent_folder(out_dir: &Path) -> Result<PathBuf, String> {
    let profile_folder = out_dir.ancestors().nth(4);
    profile_folder
        .map(|folder| folder.join("sc-agent-build"))
        .ok_or_else(|| format!("unexpected OUT_DIR {}", out_dir.display()))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Whether an ELF file names a dynamic loader (PT_INTERP); `None` where it is no little-endian 64-bit one.
fn needs_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let short =
        |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let offset = u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?) as usize;
    let (size, count) = (short(54)?, short(56)?);
    for number in 0..count {
        let at = offset.checked_add(number * size)?;
        if u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?) == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}
