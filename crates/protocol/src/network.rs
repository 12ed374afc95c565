//! Ranges of IP addresses, as policies and settings name them.

use std::net::IpAddr;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address. IPv4 addresses are as IPv6 maps them: there is one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

/// An address as a number, that of an IPv4 address as IPv6 maps it.
pub fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    /// Reads it; `None` when it is no range of addresses.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (most, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = length.unwrap_or(most);
        if length > most {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Some(Network { base: bits(address) & mask, mask })
    }

    /// Whether an address is within it.
    pub fn holds(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }

    /// Whether it is every address there is, of one kind or of both.
    pub fn is_everything(self) -> bool {
        self.mask == 0 || self.mask == u128::MAX << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_its_first_bits_are_of() {
        for (range, within, without) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "9.9.9.9", "::a00:1"][..],
            ),
            // Bits behind the length count for nothing.
            ("10.1.2.3/8", &["10.9.9.9"], &["11.1.2.3"]),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.2", "10.1.2.4"]),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]),
            ("10.1.2.2/31", &["10.1.2.2", "10.1.2.3"], &["10.1.2.1", "10.1.2.4"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::1", "2001:db8::1"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]),
            ("2001:db8::1/128", &["2001:db8::1"], &["2001:db8::2"]),
            ("::/0", &["::1", "10.0.0.1"], &[]),
            ("::ffff:10.0.0.0/104", &["10.1.1.1"], &["11.0.0.0"]),
        ] {
            let network = Network::parse(range).unwrap();
            let holds = |text: &&str| network.holds(text.parse().unwrap());
            assert!(within.iter().all(holds), "{range}");
            assert!(!without.iter().any(holds), "{range}");
            let everything = ["0.0.0.0/0", "::/0"].contains(&range);
            assert_eq!(network.is_everything(), everything, "{range}");
        }
        for bad in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "x",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }
}
