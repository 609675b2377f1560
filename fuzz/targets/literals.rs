//! Python literals: whatever is read can be written, in ASCII, and is read again as the same.

use chatd::wire::literal::{Literal, Manner};

pub fn run(data: &[u8]) {
    if let Ok(literal) = Literal::parse(data) {
        for manner in [Manner::Plain, Manner::Unicode] {
            let mut again = String::new();
            literal.write(manner, &mut again);
            assert!(again.is_ascii());
            // What was written raw may have become longer than what is read.
            if again.len() <= data.len() {
                assert_eq!(Literal::parse(again.as_bytes()).as_ref(), Ok(&literal), "{again}");
            }
        }
    }
    if let Ok(items) = Literal::parse_items(data) {
        let values: Vec<Literal<'_>> = items.iter().map(|item| item.value.clone()).collect();
        assert_eq!(Literal::parse(data), Ok(Literal::List(values)));
        for item in &items {
            assert_eq!(Literal::parse(item.source.as_bytes()).as_ref(), Ok(&item.value));
        }
    }
}
