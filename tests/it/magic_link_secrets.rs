//! Section B: what link and code are worth, for how long, and how often.

use poem::http::StatusCode;

use crate::bed::Bed;

on_both!(b_5_the_last_three_mails_work);

async fn b_5_the_last_three_mails_work(bed: Bed) {
    for (which, works) in [(0, true), (1, true), (2, true), (3, false)] {
        let email = format!("b5-{which}@example.com");
        let mut person = bed.browser();
        let mut waiting = person.ask(&email).await;
        bed.post().await;
        for pause in [31, 61, 121] {
            bed.pass(pause);
            let answer = person.submit(&waiting, "resend", &[]).await;
            waiting = person.follow(&answer).await;
            bed.post().await;
        }
        let mails = bed.mails(&email);
        assert_eq!(mails.len(), 4);
        let page = person.open(&mails[which].link()).await;
        if works {
            person.submit(&page, "link", &[]).await;
        }
        assert_eq!(person.is_signed_in(), works, "mail {which} of the newest four: {}", page.summary());
        if !works {
            assert_eq!(page.status, StatusCode::GONE);
            continue;
        }
        // Using one voids all.
        bed.pass(61);
        for mail in mails {
            assert_eq!(person.open(&mail.link()).await.status, StatusCode::GONE);
        }
    }
}
