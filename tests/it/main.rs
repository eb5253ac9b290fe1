//! The one integration-test binary: each module tests one promise through the public surface.

mod settings;
