//! Hexadecimal digits: written in lower case, read in both.

const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.push(DIGITS[usize::from(byte >> 4)]);
        digits.push(DIGITS[usize::from(byte & 0xf)]);
    }
    digits
}

/// The 32 bytes of 64 digits; `None` if it is anything else.
pub fn unhex(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 {
        return None;
    }
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| VALUES[usize::from(digit)]);
        *byte = high << 4 | low;
        all |= high | low;
    }
    (all < NO_DIGIT).then_some(bytes)
}

const NO_DIGIT: u8 = 0x10;
/// What each byte is worth as a digit. A table, since nobody can predict which kind the next digit of a digest is.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        values[DIGITS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back() {
        let bytes = std::array::from_fn(|i| i as u8 * 8);
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex(&hex(&bytes).to_uppercase()), Some(bytes));
        for bad in ["", "00", &"0".repeat(63), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
