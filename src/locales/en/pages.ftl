# Texts of the pages. Override single messages with a file of the same form in texts_dir/en/.

service = Entree

## Dates
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
# $day, $month (a name), $year, $time (15:04)
date-time = { $day } { $month } { $year }, { $time } UTC

## Sign in
sign-in-title = Sign in
sign-in-title-client = Sign in to { $client }
sign-in-lede = We send you a mail with a link and a code. There is no password to remember.
sign-in-email = Your e-mail address
sign-in-remember = Keep me signed in on this device
sign-in-submit = Send me the mail
sign-in-or = or
sign-in-provider = Continue with { $provider }
sign-in-linking = You come from { $provider } as { $account }. Confirm your e-mail address once, and from then on { $provider } alone will do.
sign-in-linking-nameless = You come from { $provider }. Confirm your e-mail address once, and from then on { $provider } alone will do.
sign-in-cancel = Cancel
sign-in-cancel-client = Cancel and go back to { $client }
sign-in-again = This time the application asks you to prove again that it is you.
sign-in-by-mail = Prove by e-mail that it is you. You will come to your account, where you can try again.
sign-in-signed-in = You are signed in as { $email }.
sign-in-to-account = Go to your account
sign-in-error-email = This does not look like an e-mail address. Please check it; it should read like name@example.com.
sign-in-error-stale = This page was open for too long. Please send it once more.
sign-in-error-busy = Too many mails were asked for. Please wait a few minutes, then try again.

## Waiting for the mail
sent-title = Check your mail
sent-lede = We are sending a mail to { $email }. Open its link in this browser, or type its code here.
sent-client = Then you go on to { $client }.
sent-code = Code from the mail
sent-code-hint = { $digits } digits; spaces and dashes do not matter.
sent-submit = Sign in
sent-switch = You are signed in as { $current }. If you type the code, { $current } is signed out in this browser.
sent-waiting = This page goes on by itself once you have opened the link.
sent-ended = This sign-in is over.
sent-nothing = Nothing there after two minutes? Look in the spam folder, and check the address above.
sent-resend = Send another mail
sent-resend-pause =
    { $seconds ->
        [one] Possible in one second.
       *[other] Possible in { $seconds } seconds.
    }
sent-no-resend = No further mail can be sent for this sign-in. You can start again.
sent-continue = I have opened the link
sent-restart = Use another address
sent-error-code = This code is not the right one. Type the code from the newest mail, or send another mail.
sent-error-tries = Too many wrong codes. Please open the link in the mail, or start again.
sent-error-wait = Please wait a moment before you ask for another mail.
sent-error-stale = This page was open for too long. Please try once more.

## The link in the mail
link-title = One moment
link-lede = You are signing in as { $email }.
link-submit = Sign in
link-switch-title = Sign in as someone else?
link-switch-lede = You are signed in as { $current }. This link is for { $email }. If you go on, { $current } is signed out in this browser.
link-switch-submit = Sign out and go on
link-switch-stay = Stay signed in as you are

## The link, opened elsewhere
elsewhere-title = Go back to where you began
elsewhere-lede = This link cannot sign you in here. For your safety it works for a few minutes only, and only in the browser that asked for it.
elsewhere-step-window = Go back to the window where you typed your address.
elsewhere-step-code = Type the code from the same mail there, or open the link in that browser.
elsewhere-safe = Nothing is lost: opening the link here has not used it up.
elsewhere-flow = Type a code in this browser
elsewhere-no-window = You no longer have that window?
elsewhere-restart = Start again here and get a new mail

## Going on
continue-title = You are signed in
continue-lede = You are being taken on. If nothing happens, please use the button.
continue-link = Go on
signed-in-title = You are signed in
signed-in-lede = You can close this window and go on where you began.
signed-in-account = See your account
signed-out-title = You are signed out
signed-out-lede = You are signed out of this browser.
signed-out-again = Sign in again
signed-out-back = Go back

## Allowing an application
consent-title = Allow { $client }?
consent-lede = { $client } asks for access to your account { $email }. It is not one of our own applications.
consent-lede-device = { $client } on this device wants to go on with your account { $email }. Allow it if you have just begun something there.
consent-scope-openid = Know that it is you, by an identifier
consent-scope-profile = See your name and language
consent-scope-email = See your e-mail address
consent-scope-of-api = Use “{ $scope }” in your name
consent-scope-offline_access = Stay connected while you are away
consent-allow = Allow
consent-deny = Do not allow
form-post-title = Going back
form-post-lede = You are being taken back to the application. If nothing happens, please use the button.
form-post-submit = Go on

## Signing out at an application's wish
logout-title = Sign out?
logout-lede = You are signed in as { $email }. Do you want to sign out of this browser?
logout-submit = Sign out
logout-stay = Stay signed in

## Errors
error-next = Sign in
error-reference = If you ask for help, give this reference:
error-parameter = For whoever runs the application: the fault is in the parameter
error-title = Something went wrong
error-internal = This is our fault, and it has been noted. Please try again in a moment.
error-away-title = Back in a moment
error-away = A part of this service is not reachable just now. Nothing is lost. Please try again in a minute.
error-not-found-title = There is nothing here
error-not-found = This address leads nowhere. Perhaps it was cut off on the way.
error-expired-title = This took too long
error-expired = This sign-in has ended. Please start again; it takes a minute.
error-link-title = Please start again
error-link = This sign-in with a provider is over: it took too long, was used before, or began in another browser. Nothing was changed.
error-used-title = This was used already
error-used = Each link and each code works once. If it was you, go on in the window where you are signed in. To sign in here, ask for a new mail.
error-request-title = This request cannot be answered
error-request = The application sent you here with a request that we cannot accept. Please go back to it and try again.
error-cookies-title = Your browser did not remember us
error-cookies = We need one cookie to know that it is still you. Please allow cookies for this site and start again.
error-stale-title = Please try once more
error-stale = The page you sent was too old, or came from somewhere else. Nothing has been changed.
error-busy-title = Too many attempts
error-busy = Please wait a few minutes, then try again.

## Other providers
upstream-leave-title = On to { $provider }
upstream-leave-lede = You are being taken to { $provider }. If nothing happens, please use the button.
upstream-leave-link = Go on to { $provider }
upstream-app-title = On to { $client }
upstream-app-lede = { $client } wants to sign you in on this device. If you did not begin that in { $client } just now, close this window.
upstream-app-link = Go on to { $client }
upstream-provider = the provider
upstream-back = Back to sign-in
upstream-back-account = Back to your account
upstream-back-app = Back to the application
upstream-again-title = Please start again
upstream-again = This sign-in with { $provider } is over: it took too long, was used before, or began in another browser. Nothing was changed. Start again, or sign in by e-mail.
upstream-again-connecting-title = Please start again
upstream-again-connecting = { $provider } was not connected: this took too long, was used before, or began in another browser. Nothing has changed. Start again from your account.
upstream-method-title = There is nothing to see here
upstream-method = Only { $provider } sends people to this address. Please start from the sign-in page.
upstream-denied-title = Not signed in
upstream-denied = You did not sign in with { $provider }. Try again, or use your e-mail address.
upstream-denied-connecting-title = Nothing was connected
upstream-denied-connecting = You did not go on at { $provider }, so it was not connected. You are signed in as before.
upstream-trouble-title = { $provider } has a problem
upstream-trouble = { $provider } cannot sign you in at the moment. Try again, or use your e-mail address.
upstream-trouble-connecting-title = { $provider } has a problem
upstream-trouble-connecting = { $provider } cannot be connected at the moment. Nothing has changed; please try again later.
upstream-away-title = { $provider } cannot be reached
upstream-away = We cannot reach { $provider } just now. Please try again in a minute, or sign in by e-mail: that works.
upstream-away-connecting-title = { $provider } cannot be reached
upstream-away-connecting = We cannot reach { $provider } just now, so it was not connected. You are signed in as before. Please try again in a minute.
upstream-answer-title = { $provider } gave an answer we cannot trust
upstream-answer = What came back from { $provider } did not pass our checks, so nobody was signed in. Try again; if it happens once more, sign in by e-mail and tell the people who run this service.
upstream-answer-connecting-title = { $provider } gave an answer we cannot trust
upstream-answer-connecting = What came back from { $provider } did not pass our checks, so nothing was connected. You are signed in as before. Try again; if it happens once more, tell the people who run this service.
upstream-misconfigured-title = { $provider } is not set up properly
upstream-misconfigured = Signing in with { $provider } does not work until the people who run this service mend it; they have been told. Please sign in by e-mail.
upstream-misconfigured-connecting-title = { $provider } is not set up properly
upstream-misconfigured-connecting = { $provider } cannot be connected until the people who run this service mend it; they have been told. You are signed in as before.
upstream-account-title = This account is not admitted
upstream-account = Accounts of your organisation at { $provider } may not sign in here. Use another account, or sign in by e-mail.
upstream-account-connecting-title = This account is not admitted
upstream-account-connecting = Accounts of your organisation at { $provider } cannot be connected here. You are signed in as before. Try another account at { $provider }.
upstream-off-title = Sign-in with { $provider } is not offered
upstream-off = Signing in with { $provider } is not offered here, or no longer. Please sign in by e-mail.
upstream-off-connecting-title = Connecting { $provider } is not offered
upstream-off-connecting = Connecting { $provider } is not offered here, or no longer. You are signed in as before.
upstream-closed-title = You cannot sign in
upstream-closed = This account cannot sign in here. If you think it should, ask the people who run this service.
upstream-newcomer-title = You have no account here yet
upstream-newcomer = Signing in with { $provider } worked, but nobody new can join here by themselves. If you have an account under another address, sign in by e-mail with that one; else ask the people who run this service for an invitation.
upstream-session-title = The sign-in in this browser has changed
upstream-session = While you were at { $provider }, somebody signed in or out in this browser. Nothing was connected. Please try again.
upstream-own-title = { $provider } is connected already
upstream-own = This account at { $provider } signs you in here already. Nothing has changed.
upstream-taken-title = This account is connected already
upstream-taken = This account at { $provider } is connected to another account here. Sign in with it, and disconnect it there first.
upstream-last-title = This is your last way in
upstream-last = { $provider } is the only way in which you can sign in here. Confirm an e-mail address or connect another provider first.
upstream-fresh-title = Please prove again that it is you
upstream-fresh = To connect or disconnect a provider you must have signed in by e-mail within the last ten minutes. Sign in by e-mail once more, then try again.
upstream-fresh-next = Sign in by e-mail

## Connecting an account at a provider
identity-title = Connect { $provider }?
identity-lede = You are signed in as { $email }. Shall { $account } at { $provider } sign you in to this account from now on?
identity-lede-nameless = You are signed in as { $email }. Shall your account at { $provider } sign you in to this account from now on?
identity-second = Another account at { $provider } is connected already. This one would be added to it.
identity-yes = Connect { $provider }
identity-no = Not now
identity-switch-title = Sign in as someone else?
identity-switch-lede = You are signed in as { $email }. The account at { $provider } is somebody else's here. If you go on, { $email } is signed out in this browser.
identity-switch-yes = Sign out and go on
identity-switch-no = Stay signed in as you are

## Account
account-title = Your account
account-name = Name
account-email = E-mail
account-roles = Roles
account-sessions = Where you are signed in
account-current = This browser
account-session-when = Last used { $seen }. Signed in { $created }.
account-device-unknown = Unknown device
account-device = { $browser } on { $system }
account-end = End
account-end-label = End: { $device }
account-access = Applications with access
account-sign-out = Sign out
account-everywhere = Sign out everywhere
account-everywhere-hint = Signing out everywhere ends your sessions. Applications that may act while you are away keep that until you remove them under “Applications with access”.
account-identities = Connected providers
account-identity-when = Connected { $linked }. Last used { $used }.
account-identity-disconnect = Disconnect
account-identity-disconnect-label = Disconnect: { $provider } { $account }
account-connect = Connect { $provider }
account-connect-another = Connect another account at { $provider }

access-title = Applications with access
access-lede = These applications may use your account. Removing access ends that at once, until you sign in with the application again.
access-none = No application has access to your account.
access-when = Since { $since }. Last used { $used }.
access-remove = Remove access
access-remove-label = Remove access: { $client }
access-back = Back to your account
