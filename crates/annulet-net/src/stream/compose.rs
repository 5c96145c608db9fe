//! What leaves, written in place.

use std::rc::Rc;

use annulet_driver::Payload;

use super::local::STAGING_MAX;
use super::{State, Stream, state_of};
use crate::error::Error;

impl Stream {
    /// Has `write` append to what is staged last, or to a buffer of its own. It appends something.
    #[inline]
    pub(crate) fn compose(self: &Rc<Self>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let mut state = state_of(self);
        let state = &mut *state;
        self.check_writable(state)?;
        if state.outbox.is_none() && state.buffers.is_none() {
            let mut staging = self.local.take_staging();
            write(&mut staging);
            state.outbox = Some(self.local.post(self, Some(staging.into())));
        } else {
            self.compose_behind(state, write);
        }
        Ok(())
    }

    fn compose_behind(self: &Rc<Self>, state: &mut State, write: impl FnOnce(&mut Vec<u8>)) {
        let mut write = Some(write);
        let mut extend = |last: Option<&mut Payload>| match last {
            Some(Payload::Vec { bytes, .. }) if bytes.len() < STAGING_MAX => {
                let before = bytes.len();
                if let Some(write) = write.take() {
                    write(bytes);
                }
                bytes.len() - before
            }
            _ => 0,
        };
        match (&mut state.buffers, state.outbox) {
            (Some(buffers), _) if !buffers.unsent.is_empty() => {
                buffers.unsent_bytes += extend(buffers.unsent.back_mut());
            }
            (_, Some(place)) => {
                self.local.with_posted(place, |payload| extend(payload.as_mut()));
            }
            _ => {}
        }
        if let Some(write) = write {
            let mut staging = self.local.take_staging();
            write(&mut staging);
            self.stage_payload(state, staging.into());
        }
    }
}
