//! The small exchange of the core's own unit tests, for those of the books that clients see.

use crate::core::*;

// The core's tests use more of it.
#[allow(dead_code)]
#[path = "../../core/fixture.rs"]
mod fixture;

pub use fixture::*;
