//! Names of hosts that mean this machine or this network, whatever they resolve to.

use std::fmt;

/// Why a name is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameKind {
    /// `localhost` and below.
    Localhost,
    /// A name that is only known in a local network.
    Local,
    /// The metadata service of a cloud.
    Metadata,
    /// A name of one label, which is completed by the search list of whoever resolves it.
    SingleLabel,
    /// Not the shape of a name: empty or too long labels, or characters that no name has.
    Malformed,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Localhost => "means this machine",
            Self::Local => "is a name of a local network",
            Self::Metadata => "is the metadata service of a cloud",
            Self::SingleLabel => "has no domain, so it is a name of a local network",
            Self::Malformed => "is not a well-formed name",
        })
    }
}

/// What clouds call their metadata. Most of these also end in a local suffix; they are named for a better reason.
const METADATA: &[&str] = &[
    "metadata.google.internal",
    "metadata.goog",
    "instance-data.ec2.internal",
    "instance-data",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "metadata",
];

/// Domains that never belong to the internet: reserved for private use, or in common use inside networks.
const LOCAL: &[&str] = &[
    "local",
    "internal",
    "localdomain",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "svc",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
];

/// Why `name` is not to be called; `None` if nothing speaks against it. `name` is in lower case and without a trailing dot.
pub(crate) fn reason_against(name: &str) -> Option<NameKind> {
    let well_formed = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
    let is_or_is_below = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if !well_formed {
        Some(NameKind::Malformed)
    } else if METADATA.contains(&name) {
        Some(NameKind::Metadata)
    } else if is_or_is_below("localhost") || matches!(name, "localhost6" | "ip6-localhost" | "ip6-loopback") {
        Some(NameKind::Localhost)
    } else if LOCAL.iter().any(|domain| is_or_is_below(domain)) {
        Some(NameKind::Local)
    } else if !name.contains('.') {
        Some(NameKind::SingleLabel)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_and_network_are_known_and_their_look_alikes_are_not() {
        for (name, expected) in [
            ("localhost", Some(NameKind::Localhost)),
            ("a.b.localhost", Some(NameKind::Localhost)),
            ("ip6-loopback", Some(NameKind::Localhost)),
            ("printer.local", Some(NameKind::Local)),
            ("vault.internal", Some(NameKind::Local)),
            ("kubernetes.default.svc", Some(NameKind::Local)),
            ("router.home.arpa", Some(NameKind::Local)),
            ("1.0.0.127.in-addr.arpa", Some(NameKind::Local)),
            ("metadata.google.internal", Some(NameKind::Metadata)),
            ("metadata.goog", Some(NameKind::Metadata)),
            ("redis", Some(NameKind::SingleLabel)),
            ("com", Some(NameKind::SingleLabel)),
            ("", Some(NameKind::Malformed)),
            ("a..example", Some(NameKind::Malformed)),
            (".example.com", Some(NameKind::Malformed)),
            ("exa$mple.com", Some(NameKind::Malformed)),
            ("notlocalhost.example", None),
            ("localhost.example.com", None),
            ("mylocal.example", None),
            ("internal.example.com", None),
            ("xn--bcher-kva.example", None),
            ("_dmarc.example.com", None),
        ] {
            assert_eq!(reason_against(name), expected, "{name:?}");
        }
        assert_eq!(reason_against(&format!("{}.com", "a".repeat(64))), Some(NameKind::Malformed));
        assert_eq!(reason_against(&format!("{}com", "a.".repeat(126))), Some(NameKind::Malformed));
    }
}
