//! A command of the command line: log in, do it, log out.

use super::run::Manner;
use super::{Event, Happening, Now, Request, Session, Tag, show};
use crate::client::exit::Status;
use crate::client::output::{Ended, print};
use crate::client::warn;

/// One request.
pub struct Errand {
    request: Option<Request>,
    asked: Option<Tag>,
    json: bool,
    over: Option<Status>,
}

impl Errand {
    pub fn new(request: Request, json: bool) -> Errand {
        Errand { request: Some(request), asked: None, json, over: None }
    }
}

impl Manner for Errand {
    fn hear(&mut self, session: &mut dyn Session, now: Now, happening: Happening) -> Result<(), Ended> {
        match happening {
            Happening::LoggedIn { .. } => {
                self.asked = self.request.take().map(|request| session.ask(now, request));
            }
            Happening::Answered { tag, answer } if self.asked == Some(tag) => {
                self.over = Some(match answer {
                    Ok(done) => {
                        let json = self.json.then(|| vec![show::answer_json(&done)]);
                        if let Some(remark) = show::remark(&done).filter(|_| json.is_none()) {
                            warn(&remark);
                        }
                        print(&json.unwrap_or_else(|| show::answer_lines(&done)))?;
                        Status::Done
                    }
                    Err(failure) => {
                        warn(&failure.text);
                        failure.status
                    }
                });
            }
            // The server has given it away with the log-in, and does not say it again.
            Happening::Event(event @ (Event::Message { .. } | Event::Private { .. })) => {
                warn(&show::event_line(&event));
            }
            Happening::Warning(text) => warn(&text),
            Happening::Answered { .. } | Happening::Event(_) | Happening::End(_) => {}
        }
        Ok(())
    }

    fn go_on(&mut self, _: &mut dyn Session, _: Now) -> Result<Option<Status>, Ended> {
        Ok(self.over)
    }
}
