//! The prefix itself: an unsigned integer of some width in some byte order.

/// How many bytes the length takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PrefixWidth {
    /// 1 byte, lengths up to 255.
    U8,
    /// 2 bytes, lengths up to 65 535.
    U16,
    /// 3 bytes, lengths up to 16 777 215.
    U24,
    /// 4 bytes, lengths up to 4 294 967 295.
    #[default]
    U32,
    /// 8 bytes.
    U64,
}

impl PrefixWidth {
    /// The width in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U24 => 3,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    /// The largest length that fits.
    pub const fn length_max(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// Which byte of the length comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The most significant one: network byte order.
    #[default]
    Big,
    /// The least significant one.
    Little,
}

/// Bytes of the widest prefix.
const WIDEST: usize = PrefixWidth::U64.bytes();

impl ByteOrder {
    /// The length in `prefix`, which is at most [`WIDEST`] bytes long.
    pub(super) fn read(self, prefix: &[u8]) -> u64 {
        let mut octets = [0; WIDEST];
        match self {
            Self::Big => {
                octets[WIDEST - prefix.len()..].copy_from_slice(prefix);
                u64::from_be_bytes(octets)
            }
            Self::Little => {
                octets[..prefix.len()].copy_from_slice(prefix);
                u64::from_le_bytes(octets)
            }
        }
    }

    /// Appends `length`, which fits into `width`.
    pub(super) fn write(self, length: u64, width: PrefixWidth, output: &mut Vec<u8>) {
        debug_assert!(length <= width.length_max());
        match self {
            Self::Big => output.extend_from_slice(&length.to_be_bytes()[WIDEST - width.bytes()..]),
            Self::Little => output.extend_from_slice(&length.to_le_bytes()[..width.bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: [PrefixWidth; 5] =
        [PrefixWidth::U8, PrefixWidth::U16, PrefixWidth::U24, PrefixWidth::U32, PrefixWidth::U64];

    #[test]
    fn largest_length_fills_the_width() {
        let largest = WIDTHS.map(PrefixWidth::length_max);
        assert_eq!(largest, [0xff, 0xffff, 0xff_ffff, 0xffff_ffff, u64::MAX]);
    }

    #[test]
    fn byte_orders_are_mirror_images() {
        for (width, big) in WIDTHS.into_iter().zip([&[7][..], &[0, 7], &[0, 0, 7], &[0, 0, 0, 7]]) {
            let mut output = Vec::new();
            ByteOrder::Big.write(7, width, &mut output);
            assert_eq!(output, big);

            output.clear();
            ByteOrder::Little.write(7, width, &mut output);
            output.reverse();
            assert_eq!(output, big);
        }
    }

    #[test]
    fn what_is_written_is_read_at_the_edges_of_every_width() {
        for width in WIDTHS {
            for order in [ByteOrder::Big, ByteOrder::Little] {
                for length in [0, 1, width.length_max() / 2 + 1, width.length_max() - 1, width.length_max()] {
                    let mut output = Vec::new();
                    order.write(length, width, &mut output);
                    assert_eq!(output.len(), width.bytes());
                    assert_eq!(order.read(&output), length, "{width:?} {order:?}");
                }
            }
        }
    }
}
