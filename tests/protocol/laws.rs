//! Laws: whatever is said arrives unchanged, however it is split; no input makes either side panic or stand still.
