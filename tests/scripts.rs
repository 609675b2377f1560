//! The scripts do what they say.

use std::path::Path;
use std::process::{Command, Stdio};

/// The demonstration passes on the programs that these tests are built with.
#[test]
fn the_demonstration_passes() {
    let programs = Path::new(env!("CARGO_BIN_EXE_chatd")).parent().unwrap();
    assert_eq!(Some(programs), Path::new(env!("CARGO_BIN_EXE_chat")).parent());
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo.sh"));
    demo.env("CHATD_BIN_DIR", programs).env("TMPDIR", directory.path()).stdin(Stdio::null());
    let output = demo.output().expect("bash");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("demo: ") && last.ends_with(" steps passed"), "{out}{error}");
    assert_eq!(error, "");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
}
