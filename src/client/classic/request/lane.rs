//! What leaves one after the other, each on a connection of its own.

use std::collections::VecDeque;

use crate::client::core::Tag;

/// A queue whose first element is under way once `next` has given it out.
pub(super) struct Queue<T> {
    waiting: VecDeque<(T, Option<Tag>)>,
    under_way: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { waiting: VecDeque::new(), under_way: false }
    }
}

/// Something that was under way.
pub(super) struct Gone<T> {
    pub(super) element: T,
    pub(super) tag: Option<Tag>,
    /// Nothing with the same tag waits behind it.
    pub(super) is_last: bool,
}

impl<T> Queue<T> {
    /// `tag`: what is done when this, and what follows with the same one, has left.
    pub(super) fn push(&mut self, element: T, tag: Option<Tag>) {
        self.waiting.push_back((element, tag));
    }

    /// What leaves now, if nothing is under way.
    pub(super) fn next(&mut self) -> Option<&T> {
        if self.under_way {
            return None;
        }
        let (element, _) = self.waiting.front()?;
        self.under_way = true;
        Some(element)
    }

    /// What was under way is so no more.
    pub(super) fn done(&mut self) -> Option<Gone<T>> {
        if !std::mem::take(&mut self.under_way) {
            return None;
        }
        let (element, tag) = self.waiting.pop_front()?;
        let is_last = self.waiting.front().is_none_or(|(_, next)| *next != tag);
        Some(Gone { element, tag, is_last })
    }

    /// Drops everything of which `which` says so, while nothing is under way. Comes back: the tags of it, each once.
    pub(super) fn drop_all(&mut self, which: impl Fn(&T, Option<Tag>) -> bool) -> Vec<Tag> {
        let mut tags = Vec::new();
        self.waiting.retain(|(element, tag)| {
            let drops = which(element, *tag);
            tags.extend(tag.filter(|_| drops));
            !drops
        });
        tags.dedup();
        tags
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether something without a tag waits or is under way.
    pub(super) fn has_untagged(&self) -> bool {
        self.waiting.iter().any(|(_, tag)| tag.is_none())
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many tags there are of which nothing is even under way.
    pub(super) fn unsent(&self) -> usize {
        let under_way = if self.under_way { self.waiting.front().and_then(|(_, tag)| *tag) } else { None };
        let mut tags: Vec<Tag> = self.waiting.iter().filter_map(|(_, tag)| *tag).collect();
        tags.dedup();
        tags.iter().filter(|&&tag| Some(tag) != under_way).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_under_way_and_the_last_of_a_tag_is_told() {
        let mut queue = Queue::default();
        assert!(queue.next().is_none() && queue.done().is_none());
        for (element, tag) in [('a', Some(Tag(1))), ('b', Some(Tag(1))), ('c', None), ('d', Some(Tag(2)))] {
            queue.push(element, tag);
        }
        assert_eq!((queue.unsent(), queue.has_untagged()), (2, true));
        assert_eq!(queue.next(), Some(&'a'));
        assert_eq!(queue.next(), None);
        assert_eq!(queue.unsent(), 1);
        let mut gone = Vec::new();
        while let Some(Gone { element, tag, is_last }) = queue.done() {
            gone.push((element, tag, is_last));
            queue.next();
        }
        let all = [('a', Some(Tag(1)), false), ('b', Some(Tag(1)), true), ('c', None, true), ('d', Some(Tag(2)), true)];
        assert_eq!(gone, all);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_dropped_is_told_once_by_its_tag() {
        let mut queue = Queue::default();
        for (element, tag) in [('a', Some(Tag(1))), ('a', Some(Tag(1))), ('b', Some(Tag(2))), ('a', Some(Tag(3)))] {
            queue.push(element, tag);
        }
        assert_eq!(queue.drop_all(|element, _| *element == 'a'), [Tag(1), Tag(3)]);
        assert_eq!(queue.next(), Some(&'b'));
        assert_eq!(queue.len(), 1);
    }
}
