//! Choices taken off the front of an input, so that what is left is an object, or the parts of one.

/// An input that is being used up.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// A number below `count`. Seeds use digits for it.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first.wrapping_sub(b'0')) % count
    }

    pub(crate) fn is(&mut self) -> bool {
        self.choose(2) == 1
    }

    /// What is left, in parts between bytes of value 1.
    pub(crate) fn parts(&self) -> Vec<&'a [u8]> {
        self.0.split(|&byte| byte == 1).collect()
    }
}
