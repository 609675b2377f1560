use super::*;
use crate::wire::LocalTime;

const ID: LocalTime = LocalTime::from_number(20_260_228_235_959);

fn chat() -> Chat {
    Chat { id: ID, user: name("bob") }
}

fn over() -> Happening {
    Happening::News(News::ChatEnded { id: ID, user: name("bob") })
}

fn line(start: &str) -> String {
    format!("{{{start},\"user\":\"bob\",\"chat\":\"{ID}\"}}\n")
}

/// Asks for something, and hears this of it.
fn ask(session: &mut Session, request: Request, answer: &str) -> Vec<Happening> {
    let tag = session.ask(request).unwrap();
    answer_to(session, tag, answer)
}

fn answer_to(session: &mut Session, Tag(id): Tag, answer: &str) -> Vec<Happening> {
    let answer = match answer {
        "not-in-chat" => format!("{{\"id\":{id},\"error\":\"not-in-chat\",\"text\":\"no\"}}\n"),
        reply => line(&format!("\"id\":{id},\"reply\":\"{reply}\"")),
    };
    hear(session, seconds(1), &answer);
    happened(session)
}

fn in_chat() -> Session {
    let mut session = logged_in();
    session.take_output();
    let happened = ask(&mut session, Request::Chat { user: name("bob") }, "chat-started");
    assert!(
        matches!(&happened[..], [Happening::Answered { answer: Ok(Done::ChatStarted(begun)), .. }] if *begun == chat())
    );
    assert_eq!(session.chats_with(), Some(&name("bob")));
    let sent = sent(&mut session);
    assert!(matches!(&sent[..], [line] if line.ends_with(r#""request":"chat","user":"bob"}"#)), "{sent:?}");
    session
}

#[test]
fn a_chat_lasts_until_its_end_is_answered() {
    let mut session = in_chat();
    let tag = session.ask(Request::EndChat).unwrap();
    assert_eq!(sent(&mut session), [format!(r#"{{"id":{},"request":"end-chat"}}"#, tag.0)]);
    assert!(session.chats_with().is_some());
    let answered = Happening::Answered { tag, answer: Ok(Done::ChatEnded(chat())) };
    assert_eq!(answer_to(&mut session, tag, "chat-ended"), [answered]);
    assert_eq!(session.chats_with(), None);
    let refused = ask(&mut session, Request::EndChat, "not-in-chat");
    assert!(
        matches!(&refused[..], [Happening::Answered { answer: Err(problem), .. }] if problem.code == "not-in-chat")
    );
}

#[test]
fn what_the_other_side_begins_and_ends_is_told() {
    let mut session = logged_in();
    hear(&mut session, seconds(1), &line(r#""event":"chat-started""#));
    assert_eq!(session.chats_with(), Some(&name("bob")));
    hear(&mut session, seconds(1), &line(r#""event":"chat-ended""#));
    assert_eq!(session.chats_with(), None);
    let started = Happening::News(News::ChatStarted { id: ID, user: name("bob") });
    assert_eq!(happened(&mut session), [started, over()]);
}

#[test]
fn the_end_of_an_earlier_chat_leaves_this_one() {
    let mut session = in_chat();
    let earlier = line(r#""event":"chat-ended""#).replace("20260228", "20260227");
    hear(&mut session, seconds(1), &earlier);
    assert!(session.chats_with().is_some());
}

#[test]
fn who_ends_what_the_other_side_has_just_ended_has_done_it() {
    let mut session = in_chat();
    let tag = session.ask(Request::EndChat).unwrap();
    hear(&mut session, seconds(1), &line(r#""event":"chat-ended""#));
    let answered = Happening::Answered { tag, answer: Ok(Done::ChatEnded(chat())) };
    assert_eq!(answer_to(&mut session, tag, "not-in-chat"), [over(), answered]);
}

#[test]
fn a_chat_is_lost_with_the_connection_and_that_is_told_once() {
    let mut session = in_chat();
    let tag = session.ask(Request::EndChat).unwrap();
    session.disconnected();
    assert_eq!(session.chats_with(), None);
    assert_eq!(happened(&mut session), [over()]);
    log_in(&mut session, &mut Peer::new(), seconds(2), 0);
    assert_eq!(sent(&mut session), [format!(r#"{{"id":{},"request":"end-chat"}}"#, tag.0)], "it was not answered");
    let answered = Happening::Answered { tag, answer: Ok(Done::ChatEnded(chat())) };
    assert_eq!(answer_to(&mut session, tag, "not-in-chat"), [answered]);

    let mut session = in_chat();
    hear(&mut session, seconds(1), "{\"event\":\"closing\",\"reason\":\"shutdown\",\"text\":\"the server stops\"}\n");
    let happened = happened(&mut session);
    assert!(matches!(&happened[..], [first, Happening::Closing { .. }] if *first == over()), "{happened:?}");
}

#[test]
fn who_logs_out_is_not_told_that_the_chat_is_over() {
    let mut session = in_chat();
    session.log_out();
    let id = session.last_id;
    hear(&mut session, seconds(1), &format!("{{\"id\":{id},\"reply\":\"logged-out\"}}\n"));
    assert_eq!(happened(&mut session), [Happening::End(End::LoggedOut)]);
    assert_eq!(session.chats_with(), None);
}
