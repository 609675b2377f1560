//! Verifiers, derived once for all runs of the process: the least number of iterations that a client accepts is still slow.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use chatd::hub::effect::Derivation;
use chatd::hub::name::UserName;
use chatd::hub::scram::Verifier;

/// The least that a client accepts.
pub const ITERATIONS: u32 = 4096;

type Key = (String, [u8; 16], u32);

static KNOWN: LazyLock<Mutex<HashMap<Key, Arc<Verifier>>>> = LazyLock::new(Mutex::default);

/// As the worker's job would.
pub fn verifier(job: &Derivation) -> (UserName, Arc<Verifier>) {
    let key = (job.credential.password.as_str().to_owned(), job.salt, job.iterations);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let verifier = known.entry(key).or_insert_with(|| job.run().1);
    (job.credential.name.clone(), Arc::clone(verifier))
}
