//! The systemd unit that the agent runs as, sandboxed to what its operator allows.

use bellwether_schemas::allow::Allowed;

/// Where the unit finds its files.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    /// The program.
    pub program: &'a str,
    /// `agent.yaml`.
    pub config: &'a str,
}

/// What all of the file system it may write to besides its state: the allowed paths, if they are there when it starts.
fn writable(allowed: &Allowed) -> String {
    allowed.paths.iter().map(|path| format!("ReadWritePaths={}\n", word(&format!("-{path}")))).collect()
}

/// The unit's text.
pub fn unit(allowed: &Allowed, installed: Installed<'_>) -> String {
    let beneath = |dirs: &[&str]| {
        allowed.paths.iter().any(|path| {
            let inside = |dir: &&str| path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
            path == "/" || dirs.iter().any(inside)
        })
    };
    // What the operator allows must stay within reach, whatever a default of the sandbox says.
    let home = if beneath(&["/home", "/root", "/run/user"]) { "read-only" } else { "yes" };
    let tmp = if beneath(&["/tmp", "/var/tmp"]) { "no" } else { "yes" };
    let devices = if beneath(&["/dev"]) { "no" } else { "yes" };
    let (program, config, paths) = (word(installed.program), word(installed.config), writable(allowed));
    format!(
        "\
# Made by bellwether-agent from agent.yaml. After an edit of that file make it anew:
#   bellwether-agent unit > /etc/systemd/system/bellwether-agent.service
#   systemctl daemon-reload && systemctl restart bellwether-agent
# What a probe needs beyond this goes into a drop-in: systemctl edit bellwether-agent
[Unit]
Description=Bellwether agent: keeps this device at what its signed targets say
After=network.target nss-lookup.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} run --config {config}
Restart=on-failure
RestartSec=10s
WatchdogSec=10min
StateDirectory=bellwether
StateDirectoryMode=0700
UMask=0022

ProtectSystem=strict
{paths}ProtectHome={home}
PrivateTmp={tmp}
PrivateDevices={devices}
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"
    )
}

/// A word of a unit file: specifiers, variables and quotes in it are themselves (systemd.service(5), systemd.syntax(7)).
fn word(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    let plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-+@:".contains(&c));
    if plain { quoted } else { format!("\"{quoted}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_paths(paths: &[&str]) -> String {
        let allowed = Allowed { paths: paths.iter().map(ToString::to_string).collect(), ..Allowed::default() };
        unit(&allowed, Installed { program: "/usr/local/bin/bellwether-agent", config: "/etc/bellwether/agent.yaml" })
    }

    #[test]
    fn what_is_allowed_is_writable_and_nothing_else() {
        let unit = with_paths(&["/opt/bellwether", "/srv/app"]);
        assert!(unit.contains("\nExecStart=/usr/local/bin/bellwether-agent run --config /etc/bellwether/agent.yaml\n"));
        let writable: Vec<_> = unit.lines().filter(|line| line.starts_with("ReadWritePaths")).collect();
        assert_eq!(writable, ["ReadWritePaths=-/opt/bellwether", "ReadWritePaths=-/srv/app"]);
        for line in ["ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes"] {
            assert!(unit.lines().any(|found| found == line), "{line}");
        }
        assert!(!with_paths(&[]).contains("ReadWritePaths"));
    }

    #[test]
    fn the_sandbox_keeps_nothing_allowed_out_of_reach() {
        for (path, line) in [
            ("/home/app", "ProtectHome=read-only"),
            ("/root", "ProtectHome=read-only"),
            ("/homestead", "ProtectHome=yes"),
            ("/var/tmp/x", "PrivateTmp=no"),
            ("/", "PrivateTmp=no"),
            ("/", "ProtectHome=read-only"),
            ("/dev/shm/x", "PrivateDevices=no"),
        ] {
            assert!(with_paths(&[path]).lines().any(|found| found == line), "{path}: {line}");
        }
    }

    #[test]
    fn a_path_cannot_say_anything_else() {
        let unit = with_paths(&["/srv/a b", "/srv/%i$HOME\"\\", "/srv/x\nExecStartPre=/bin/sh"]);
        let writable: Vec<_> = unit.lines().filter(|line| line.starts_with("ReadWritePaths")).collect();
        let expected = [
            r#"ReadWritePaths="-/srv/a b""#,
            r#"ReadWritePaths="-/srv/%%i$$HOME\"\\""#,
            r#"ReadWritePaths="-/srv/xExecStartPre=/bin/sh""#,
        ];
        assert_eq!(writable, expected);
    }
}
