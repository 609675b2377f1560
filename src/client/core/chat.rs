//! The one chat that a session may be in. It ends with the connection, whatever ends that.

use super::{Happening, News, Request, Session};
use crate::wire::{LocalTime, UserName};

/// A chat of this session's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: LocalTime,
    /// With whom.
    pub user: UserName,
}

impl Session {
    /// With whom this session chats now.
    pub fn chats_with(&self) -> Option<&UserName> {
        self.chat.as_ref().map(|chat| &chat.user)
    }

    /// Somebody else has begun it.
    pub(super) fn chat_has_begun(&mut self, chat: Chat) {
        self.chat = Some(chat.clone());
        let Chat { id, user } = chat;
        self.happenings.push_back(Happening::News(News::ChatStarted { id, user }));
    }

    /// It has ended, and not because that was asked. Whoever has asked meanwhile will hear that there is none.
    pub(super) fn chat_is_over(&mut self, chat: Chat) {
        if self.chat.as_ref().is_some_and(|current| current.id == chat.id) {
            self.chat = None;
        }
        for pending in self.pending.values_mut().filter(|pending| pending.request == Request::EndChat) {
            pending.over = Some(chat.clone());
        }
        let Chat { id, user } = chat;
        self.happenings.push_back(Happening::News(News::ChatEnded { id, user }));
    }

    /// It is lost with the connection.
    pub(super) fn lose_chat(&mut self) {
        if let Some(chat) = self.chat.take() {
            self.chat_is_over(chat);
        }
    }
}
