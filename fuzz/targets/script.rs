//! An input that is a list of things to do: parts between bytes of 0xff. Within a part 0xfe and another byte stand for that
//! byte with its highest bit set, so that every byte can be said.

const PARTS_MAX: usize = 64;

/// The parts, without what separates them.
pub fn parts(data: &[u8]) -> Vec<Vec<u8>> {
    data.split(|&byte| byte == 0xff).take(PARTS_MAX).map(unescaped).collect()
}

fn unescaped(part: &[u8]) -> Vec<u8> {
    let mut bytes = part.iter();
    let mut out = Vec::with_capacity(part.len());
    while let Some(&byte) = bytes.next() {
        out.push(if byte == 0xfe { bytes.next().unwrap_or(&0x7e) | 0x80 } else { byte });
    }
    out
}

/// Sizes of pieces to split something into, drawn by the bytes themselves: the same bytes are always split alike.
pub struct Sizes(u64);

impl Sizes {
    pub fn of(data: &[u8]) -> Sizes {
        // FNV-1a.
        let hash = data
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Sizes(hash)
    }

    /// From 1; mostly small.
    pub fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = (self.0 >> 33) as usize;
        1 + drawn % [1, 4, 16, 256][drawn / 1024 % 4]
    }
}
