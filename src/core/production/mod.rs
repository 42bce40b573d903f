//! Production: what has to be made and bought, and what becomes of it.

pub mod mrp;
