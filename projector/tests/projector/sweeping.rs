//! sweeping
