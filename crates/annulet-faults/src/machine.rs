//! What the machine grants: tools, privileges, a network of one's own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// Why a scenario, or a part of it, cannot be had here.
pub(crate) type Refusal = String;

/// A tool, and the Debian package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    package: &'static str,
}

pub(crate) const NFT: Tool = Tool { name: "nft", package: "nftables" };
pub(crate) const TC: Tool = Tool { name: "tc", package: "iproute2" };
pub(crate) const STRACE: Tool = Tool { name: "strace", package: "strace" };
pub(crate) const PERL: Tool = Tool { name: "perl", package: "perl-base" };
pub(crate) const IP: Tool = Tool { name: "ip", package: "iproute2" };
const UNSHARE: Tool = Tool { name: "unshare", package: "util-linux" };
const SETPRIV: Tool = Tool { name: "setpriv", package: "util-linux" };
const PRLIMIT: Tool = Tool { name: "prlimit", package: "util-linux" };

/// Where tools of administrators are, which are on nobody else's path.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Tool {
    /// Whether the tool is there.
    pub(crate) fn have(self) -> Result<(), Refusal> {
        let lack = || format!("{} is missing (Debian's package {})", self.name, self.package);
        self.is_there().then_some(()).ok_or_else(lack)
    }

    /// Installs a tool that is missing, where that can be done.
    pub(crate) fn install(self) {
        if !self.is_there() && is_root() && Path::new("/usr/bin/apt-get").exists() {
            eprintln!("installing {} for {}", self.package, self.name);
            let arguments = ["install", "-y", "-q", "--no-install-recommends", self.package];
            // Whoever needs the tool says that it is missing.
            let _ = Command::new("apt-get").args(arguments).stdout(Stdio::null()).status();
        }
    }

    fn is_there(self) -> bool {
        FOLDERS.iter().any(|folder| Path::new(folder).join(self.name).exists())
    }
}

/// Runs a command of the system; it must succeed.
pub(crate) fn system(command: &[&str]) -> anyhow::Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(command: &[&str]) -> anyhow::Result<Output> {
    let path = format!("{}:{}", std::env::var("PATH").unwrap_or_default(), FOLDERS.join(":"));
    let output = Command::new(command[0]).args(&command[1..]).env("PATH", path).stdin(Stdio::null()).output();
    output.with_context(|| format!("while starting {}", command[0]))
}

/// The command under which a process has a network of its own, whose loopback device is up.
pub(crate) fn namespace() -> Result<Vec<&'static str>, Refusal> {
    UNSHARE.have()?;
    IP.have()?;
    let prefix = if is_root() {
        vec!["unshare", "--net"]
    } else {
        vec!["unshare", "--user", "--map-root-user", "--net"]
    };
    let trial = [prefix.as_slice(), &["ip", "link", "set", "lo", "up"]].concat();
    match system(&trial) {
        Ok(_) => Ok(prefix),
        Err(error) => Err(format!("no network namespace: {error}")),
    }
}

/// Makes a fresh network usable.
pub(crate) fn set_up_namespace() -> anyhow::Result<()> {
    system(&["ip", "link", "set", "lo", "up"])?;
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000")?;
    // Where the kernel has it, connections between SYN and accept move to the listeners that stay.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1");
    Ok(())
}

/// The prefix under which a process ends when its parent does, if it can be had.
pub(crate) fn leash() -> &'static [&'static str] {
    if SETPRIV.is_there() { &["setpriv", "--pdeathsig", "KILL"] } else { &[] }
}

/// The prefix for a limit on resources from the start.
pub(crate) fn limited(limits: &[String]) -> Result<Vec<String>, Refusal> {
    PRLIMIT.have()?;
    Ok(["prlimit".to_owned()].into_iter().chain(limits.iter().cloned()).collect())
}

/// The prefix for a process without privileges.
pub(crate) fn unprivileged() -> Result<Vec<String>, Refusal> {
    if !is_root() {
        return Ok(Vec::new());
    }
    SETPRIV.have()?;
    let prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    Ok(prefix.map(str::to_owned).to_vec())
}

pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
