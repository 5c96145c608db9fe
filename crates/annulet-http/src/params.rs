//! What stands in a path for the parameters of its route.

use std::rc::Rc;

/// Names are the route's, values are places in the path.
#[derive(Default)]
pub(crate) struct Params {
    names: Option<Rc<[Box<str>]>>,
    places: Vec<(u16, u16)>,
}

impl Params {
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.names.is_some() {
            self.names = None;
            self.places.clear();
        }
    }

    /// The parameters of a route with these names, whose values are parts of `path`, in the names' order.
    pub(crate) fn set<'a>(
        &mut self,
        names: &Rc<[Box<str>]>,
        path: &str,
        values: impl Iterator<Item = &'a str>,
    ) {
        self.names = Some(names.clone());
        self.places.clear();
        self.places.extend(values.map(|value| {
            let start = value.as_ptr().addr() - path.as_ptr().addr();
            // A head is no longer than a u16 says.
            (start as u16, value.len() as u16)
        }));
    }

    pub(crate) fn get<'a>(&self, name: &str, path: &'a str) -> Option<&'a str> {
        let index = self.names.as_ref()?.iter().position(|known| **known == *name)?;
        let (start, length) = *self.places.get(index)?;
        path.get(usize::from(start)..usize::from(start) + usize::from(length))
    }
}
