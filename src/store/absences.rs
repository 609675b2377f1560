//! The compact form of a device's absences.
//!
//! All ends of all ranges, in order, each as its difference to the one before it (wrapping, the first to zero), in
//! LEB128: seven bits a byte, lowest first, the top bit set on all but the last byte. Any list comes back as it was.

use crate::hub::id::Number;

/// The longest LEB128 of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

pub(super) fn encode(absences: &[(Number, Number)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut previous = 0u64;
    for end in absences.iter().flat_map(|(after, through)| [after.0, through.0]) {
        let mut rest = end.wrapping_sub(previous);
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        previous = end;
    }
    bytes
}

/// `None`: these bytes are not absences.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<(Number, Number)>> {
    let mut ends = Vec::new();
    let mut previous = 0u64;
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = rest.iter().take(VARINT_BYTES_MAX).position(|byte| byte & 0x80 == 0)? + 1;
        let (varint, after) = rest.split_at(length);
        if length == VARINT_BYTES_MAX && varint[length - 1] > 1 {
            return None;
        }
        let difference = varint.iter().rev().fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
        previous = previous.wrapping_add(difference);
        ends.push(Number(previous));
        rest = after;
    }
    if !ends.len().is_multiple_of(2) {
        return None;
    }
    Some(ends.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::change::AWAY;
    use proptest::prelude::*;

    #[test]
    fn neighbours_take_few_bytes() {
        assert!(encode(&[]).is_empty());
        assert_eq!(encode(&[(Number(1000), Number(1005)), (Number(1010), Number(1011))]), [0xe8, 0x07, 5, 5, 1]);
        assert_eq!(encode(&[(Number(1000), AWAY)]).len(), 11);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let overlong = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00];
        for bad in [&[0x80][..], &[1], &[1, 2, 3], &[0x80; 11], &overlong] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_absences_come_back(ends in prop::collection::vec((any::<u64>(), any::<u64>()), 0..9)) {
            let absences: Vec<_> = ends.into_iter().map(|(a, b)| (Number(a), Number(b))).collect();
            prop_assert_eq!(decode(&encode(&absences)), Some(absences));
        }

        #[test]
        fn any_bytes_are_absences_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            decode(&bytes);
        }
    }
}
