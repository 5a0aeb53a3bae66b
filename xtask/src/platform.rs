//! The platforms that a release serves.

use std::fmt;
use std::str::FromStr;

/// One platform, in krew's words and in Rust's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// As Go and krew name it.
    pub os: &'static str,
    /// As Go and krew name it.
    pub arch: &'static str,
    /// As rustc names it.
    pub target: &'static str,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::new("linux", "amd64", "x86_64-unknown-linux-musl"),
        Self::new("linux", "arm64", "aarch64-unknown-linux-musl"),
        Self::new("darwin", "amd64", "x86_64-apple-darwin"),
        Self::new("darwin", "arm64", "aarch64-apple-darwin"),
        Self::new("windows", "amd64", "x86_64-pc-windows-gnu"),
        Self::new("windows", "arm64", "aarch64-pc-windows-gnullvm"),
    ];

    const fn new(os: &'static str, arch: &'static str, target: &'static str) -> Self {
        Self { os, arch, target }
    }

    /// The name of the program.
    pub fn program(self) -> &'static str {
        match self.os {
            "windows" => "kubectl-mtls.exe",
            _ => "kubectl-mtls",
        }
    }

    /// The name of the archive.
    pub fn archive(self, version: &str) -> String {
        format!("kubectl-mtls_v{version}_{}_{}.tar.gz", self.os, self.arch)
    }

    /// Whether this machine runs its programs.
    pub fn is_native(self) -> bool {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            os => os,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            arch => arch,
        };
        (self.os, self.arch) == (os, arch)
    }

    /// Whether this machine builds for it: macOS needs Apple's SDK, which is on a Mac only.
    pub fn is_buildable(self) -> bool {
        (self.os == "darwin") == cfg!(target_os = "macos")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL
            .into_iter()
            .find(|known| known.to_string() == text);
        known.ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("no such platform; there are {}", names.join(", "))
        })
    }
}
