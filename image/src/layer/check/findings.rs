//! What a look at a layer found, in words and bounded.

/// So much damage of one layer is told; the rest is counted.
const TOLD: usize = 20;

/// What is wrong with a layer.
#[derive(Default)]
pub(super) struct Findings {
    told: Vec<String>,
    more: usize,
}

impl Findings {
    pub(super) fn add(&mut self, what: impl Into<String>) {
        if self.told.len() < TOLD { self.told.push(what.into()) } else { self.more += 1 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn words(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more like these", self.more));
        }
        self.told
    }
}
