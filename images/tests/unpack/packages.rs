//! Images built from packages: minutes and a mirror, so only on request.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
