//! docs/PROTOCOL.md against the code.
