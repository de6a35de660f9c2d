# Texts of the pages. To replace single messages, put a file of the same form into texts_dir/en/.

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
sign-in-lede = We'll email you a link and a code. No password needed.
sign-in-email = Email address
sign-in-remember = Keep me signed in on this device
sign-in-submit = Continue with email
sign-in-or = or
sign-in-provider = Continue with { $provider }
sign-in-linking = You signed in to { $provider } as { $account }. Confirm your email address once. Next time, { $provider } is all you need.
sign-in-linking-nameless = You signed in to { $provider }. Confirm your email address once. Next time, { $provider } is all you need.
sign-in-cancel = Cancel sign-in
sign-in-cancel-client = Go back to { $client }
sign-in-again = For your security, confirm again that it's you.
sign-in-by-mail = Confirm by email that it's you. You'll return to your account, where you can try again.
sign-in-signed-in = You're signed in as { $email }.
sign-in-to-account = Go to your account
sign-in-confirm = Send an email to { $email }
sign-in-other = Use a different email address
sign-in-error-email = Enter an email address in the correct format, like name@example.com.
sign-in-error-empty = Enter your email address.
sign-in-error-at = Enter an email address with an @, like name@example.com.
sign-in-error-several = Enter one email address only.
sign-in-error-space = The email address has a space in it. Remove the space, then try again.
sign-in-error-character = Email addresses can't have “{ $character }” in that place. Change it, then try again.
sign-in-error-letter = We can't send email to an address with “{ $character }” before the @. Enter a different email address.
sign-in-error-busy = Too many emails were requested. Wait a few minutes, then try again.

## Waiting for the email
sent-title = Check your email
sent-lede = We sent an email to { $email }. Open the link in this browser, or enter the code here.
sent-client = You'll then continue to { $client }.
sent-code = Sign-in code
sent-code-hint = { $digits } digits
sent-submit = Sign in
sent-switch = You're signed in as { $current }. Entering this code signs { $current } out in this browser.
sent-waiting = Waiting for you to open the link in this browser…
sent-ended = This sign-in has ended.
sent-start-over = Start over
email-late = Our email server isn't accepting email right now. We're still trying, so your email will be late.
email-failed = We couldn't send the email. Check the address above, or try again later.
sent-nothing = Didn't get it? Check your spam folder, and make sure the address above is right.
sent-resend = Resend email
sent-withheld-title = We can't email this address right now
sent-withheld = Too many sign-in emails were requested for { $email }. To protect its mailbox, we're not sending more for now.
sent-withheld-minutes =
    { $minutes ->
        [one] You can request a new email in about one minute.
       *[other] You can request a new email in about { $minutes } minutes.
    }
sent-withheld-hours = You can request a new email in about { $hours } hours.
sent-withheld-ways = An email that already arrived still works. You can also sign in on a device where you've used this address before, or with a connected account.
# $time counts down: 0:30
sent-resend-pause = You can resend in { $time }.
sent-no-resend = You've reached the email limit for this sign-in.
sent-continue = Continue after opening the link
sent-restart = Use a different email address
sent-error-form = Enter the { $digits } digits from the email.
sent-error-code = That code isn't right. Check it against the latest email, then try again.
sent-error-expired = That code has expired. Enter the code from the latest email, or resend the email.
sent-error-off = Too many wrong codes were entered for this email address, so codes are off for an hour. Open the link in the email instead.
sent-error-tries = That's too many wrong codes, so you can't enter another one here. You can still sign in:
sent-way-link = Open the link in the email, in this browser.
sent-way-resend = Resend the email below, then open its link.
sent-way-restart = Start over to get a new code
sent-way-restart-providers = Start over to get a new code, or choose another way to sign in
sent-tries-left =
    { $count ->
        [one] You have one attempt left.
       *[other] You have { $count } attempts left.
    }
sent-lifetime =
    { $minutes ->
        [one] The link and the code work for one minute.
       *[other] The link and the code work for { $minutes } minutes.
    }
sent-error-right-code = That code is right, but too many wrong codes were entered for this address. Open the link in the same email, or resend the email and use its new code.
sent-error-tab = You signed in in another tab. Check the code here, then select Sign in again.
sent-error-wait = Another email can't be sent yet. Wait a moment, then try again.

## The link in the email
link-title = Confirm sign-in
link-lede = Sign in as { $email }?
link-submit = Sign in
link-switch-title = Switch account?
link-switch-lede = You're signed in as { $current }, but this link is for { $email }. Switching signs { $current } out in this browser.
link-switch-submit = Switch account
link-switch-stay = Stay signed in as { $current }

## The link, opened elsewhere
elsewhere-title = Finish signing in where you started
elsewhere-lede = For your security, this link works only in the browser where you asked for it. It expires after a few minutes.
elsewhere-step-window = Go back to the tab where you entered your email address.
elsewhere-step-code = Enter the code from the email there, or open the link in that browser.
elsewhere-safe = Opening the link here hasn't used it up.
elsewhere-flow = Enter a code here
elsewhere-no-window = Closed that tab?
elsewhere-restart = Start over in this browser

elsewhere-old-title = Enter the code instead
elsewhere-old-lede = Your browser is too old to use the link safely: it doesn't say which page sent the form. Use the code in the same email.

## A link that no longer works
dead-link-used-title = This link was already used
dead-link-used = Links work only once. If you've signed in already, go back to that tab. If not, start over to get a new email.
dead-link-expired-title = This link has expired
dead-link-expired =
    { $minutes ->
        [one] A link works for one minute. Get a new email to sign in.
       *[other] A link works for { $minutes } minutes. Get a new email to sign in.
    }
dead-link-unknown-title = This link doesn't work
dead-link-unknown = The link may be incomplete, or too old. Copy the whole link from the latest email, or start over to get a new one.
dead-link-resend = Get a new email

## Continuing
continue-title = Redirecting…
continue-lede = If nothing happens, select Continue.
continue-link = Continue
signed-in-title = You're signed in
signed-in-lede = Open { $client } to continue.
signed-in-lede-account = You can manage your account here.
signed-in-open = Open { $client }
signed-in-account = Go to your account
signed-out-title = You've signed out
signed-out-lede = You're signed out in this browser. You can close this page.
signed-out-again = Sign in again
signed-out-back = Go back to the app

## Allowing an app
consent-title = Allow { $client } to access your account?
consent-lede = You're signed in as { $email }. { $client } isn't run by us. If you allow access, it can:
consent-lede-device = You're signed in as { $email }. Only allow access if you just started signing in to { $client } on this device. It can then:
consent-scope-openid = Confirm who you are
consent-scope-profile = See your name and language
consent-scope-email = See your email address
consent-scope-of-api = Use “{ $scope }” on your behalf
consent-scope-offline_access = Keep access when you're not using the app
consent-allow = Allow access
consent-deny = Don't allow
form-post-title = Returning to the app…
form-post-lede = If nothing happens, select Continue.
form-post-submit = Continue

## A name that the app needs
name-title = What's your name?
name-lede = { $client } needs a name for you. We'll save it in your account.
name-label = Name
name-submit = Continue
name-error-empty = Enter your name.
name-error-character = Enter your name in one line, without special control characters.
name-error-invisible = Enter a name that people can see. This one has only invisible characters.
name-error-long = Enter a name of at most { $most } characters.

## Connecting a device
device-title = Connect a device
device-lede = Enter the code that your device shows.
device-code = Code on the device
device-code-hint = 8 letters
device-submit = Continue
device-warning = Only continue if you started this yourself, on a device in front of you. Never enter a code that someone sent you.
device-error-code = That code is wrong or has expired. Check the code on your device, or start over there.
device-error-over = This request has ended. Start over on your device.
device-question-title = Let { $client } on a device use your account?
device-question-lede = You're signed in as { $email }. If you allow access, { $client } on the device can:
device-question-none = You're signed in as { $email }. If you allow access, { $client } on the device is connected to your account.
device-shown = The device must show the code { $code }.
device-from = Started at { $time }, from the network { $network }.
device-elsewhere = The device isn't on the network you're using now. If you don't know why, don't allow access.
device-deny = Don't allow
device-allow = Allow access
device-allowed-title = Your device is connected
device-allowed-lede = Go back to your device. You can close this page.
device-denied-title = Access not allowed
device-denied-lede = The device can't use your account. You can close this page.
device-access = Manage apps with access

## Signing out at an app's request
logout-title = Sign out?
logout-lede = You're signed in as { $email } in this browser.
logout-submit = Sign out
logout-stay = Stay signed in
logout-none-title = You're signed out
logout-fault = The app's request to sign you out has a mistake, so we can't send you back to the app.
logout-fault-missing = For the app's developer: missing parameter

## Errors
# The title of the window while a form has an error
error-window-title = Error: { $title }
error-next = Sign in
error-again = Try again
error-start-over = Start over
error-to-client = Go back to { $client }
error-reference = Reference for support:
error-parameter = For the app's developer: invalid parameter
error-title = Something went wrong
error-internal = The fault is on our side, and we've logged it. Please try again in a moment.
error-away-title = Temporarily unavailable
error-away = Part of this service isn't available right now. Nothing was lost. Please try again in a few seconds.
error-not-found-title = Page not found
error-not-found = The address may be incomplete or wrong. Check it, then try again.
error-method-title = This page can't be opened directly
error-method = It belongs to a form that was sent before. Nothing was changed. Start over to continue.
error-expired-title = This sign-in has expired
error-expired = For your security, a sign-in stays open for a short time only. Start over to sign in.
error-link-title = This sign-in is no longer valid
error-link = Your sign-in with a provider took too long, was already used, or started in another browser. Nothing was changed. Start over to sign in.
error-used-title = This link or code was already used
error-used = Links and codes work only once. If you've already signed in, go back to that tab. To sign in here, request a new email.
error-request-title = We can't complete this request
error-request = The app sent an invalid request. Go back to the app, then try again.
error-cookies-title = Allow cookies to continue
error-cookies = We need a cookie to recognise your browser, and it didn't send it. Allow cookies for this site, then try again.
error-cookies-two-title = Delete cookies to continue
error-cookies-two = Your browser sent two different cookies of one name for this site. Delete the cookies of this site, then start over.
error-deployment-title = This service can't be used at this address
error-deployment = The service was set up for another address. What you entered is fine. Contact the administrator, who finds the cause in the log.
error-stale-title = This page has expired
error-stale = You signed in or out since this page opened, or the request came from somewhere else. Nothing was changed. Try again.
error-busy-title = Too many attempts
error-busy = Wait a few minutes, then try again.

## Other providers
upstream-leave-title = Continuing to { $provider }…
upstream-leave-lede = If nothing happens, select “Continue to { $provider }”.
upstream-leave-link = Continue to { $provider }
upstream-app-title = Continue to { $client }
upstream-app-lede = { $client } wants to sign you in on this device. If you didn't just start this in { $client }, close this page.
upstream-app-link = Continue to { $client }
upstream-provider = the provider
upstream-back = Go back to sign-in
upstream-back-account = Go back to your account
upstream-back-app = Go back to the app
upstream-again-title = This sign-in is no longer valid
upstream-again = Your sign-in with { $provider } took too long, was already used, or started in another browser. Nothing was changed. Start over, or sign in with email.
upstream-again-connecting-title = We couldn't connect { $provider }
upstream-again-connecting = This took too long, was already used, or started in another browser. Nothing was changed. Try again from your account.
upstream-method-title = This page can't be opened directly
upstream-method = Only { $provider } sends people to this address. Start from the sign-in page.
upstream-denied-title = Sign-in was cancelled
upstream-denied = Sign-in with { $provider } was cancelled. Try again, or sign in with email.
upstream-denied-connecting-title = Nothing was connected
upstream-denied-connecting = You cancelled at { $provider }, so we didn't connect it. You're still signed in.
upstream-trouble-title = Sign-in with { $provider } isn't available right now
upstream-trouble = There's a problem at { $provider }. Try again, or sign in with email.
upstream-trouble-connecting-title = We couldn't connect { $provider }
upstream-trouble-connecting = There's a problem at { $provider }, so we didn't connect it. You're still signed in. Try again later.
upstream-busy-title = { $provider } is busy right now
upstream-busy = { $provider } can't sign people in at the moment. Try again in a few minutes, or sign in with email.
upstream-busy-connecting-title = { $provider } is busy right now
upstream-busy-connecting = We couldn't connect { $provider }. You're still signed in. Try again in a few minutes.
upstream-login-title = You're not signed in at { $provider }
upstream-login = Open { $provider } and sign in there, then try again. Or sign in with email.
upstream-login-connecting-title = You're not signed in at { $provider }
upstream-login-connecting = Nothing was connected, and you're still signed in here. Open { $provider } and sign in there, then try again.
upstream-interaction-title = { $provider } needs something from you first
upstream-interaction = Open { $provider } and do what it asks, for example accept its terms, then try again. Or sign in with email.
upstream-interaction-connecting-title = { $provider } needs something from you first
upstream-interaction-connecting = Nothing was connected, and you're still signed in here. Open { $provider } and do what it asks, then try again.
upstream-away-title = We can't reach { $provider }
upstream-away = Sign-in with { $provider } isn't available right now. Try again in a minute, or sign in with email.
upstream-away-connecting-title = We can't reach { $provider }
upstream-away-connecting = We couldn't connect { $provider }. You're still signed in. Try again in a minute.
upstream-answer-title = We couldn't verify the response from { $provider }
upstream-answer = For your security, we didn't sign you in. Try again. If it fails again, sign in with email and tell the administrator.
upstream-answer-connecting-title = We couldn't verify the response from { $provider }
upstream-answer-connecting = For your security, nothing was connected. You're still signed in. Try again. If it fails again, tell the administrator.
upstream-misconfigured-title = Sign-in with { $provider } isn't working
upstream-misconfigured = This sign-in isn't set up correctly, and the administrator has been notified. Please sign in with email.
upstream-misconfigured-connecting-title = We can't connect { $provider }
upstream-misconfigured-connecting = This sign-in isn't set up correctly, and the administrator has been notified. You're still signed in.
upstream-account-title = This account can't be used here
upstream-account = Accounts from your organisation at { $provider } can't sign in here. Use another account, or sign in with email.
upstream-account-connecting-title = This account can't be connected
upstream-account-connecting = Accounts from your organisation at { $provider } can't be connected here. You're still signed in. Try another account.
upstream-off-title = Sign-in with { $provider } isn't available
upstream-off = This service doesn't offer sign-in with { $provider }. Sign in with email instead.
upstream-off-connecting-title = Connecting { $provider } isn't available
upstream-off-connecting = This service doesn't offer sign-in with { $provider }. You're still signed in.
upstream-closed-title = You can't sign in
upstream-closed = This account isn't allowed to sign in here. If you think that's a mistake, contact the administrator.
upstream-newcomer-title = You don't have an account here yet
upstream-newcomer = Sign-in with { $provider } worked, but new accounts are by invitation only. If you have an account with another email address, sign in with that one. If not, ask the administrator for an invitation.
upstream-session-title = Your sign-in changed
upstream-session = While you were at { $provider }, someone signed in or out in this browser. Nothing was connected. Try again.
upstream-own-title = You've already connected { $provider }
upstream-own = You can already sign in here with this account at { $provider }. Nothing was changed.
upstream-taken-title = This account is already connected
upstream-taken = This account at { $provider } is connected to another account here. Sign in with it, and disconnect it there first.
upstream-last-title = Add another way to sign in first
upstream-last = You can only sign in here with { $provider }. Confirm an email address or connect another provider first.
upstream-fresh-title = Confirm it's you
upstream-fresh = To connect or disconnect a provider, you must have signed in with email in the last 10 minutes. Sign in with email, then try again.
upstream-fresh-next = Sign in with email

## Connecting an account at a provider
identity-title = Connect { $provider }?
identity-lede = You're signed in as { $email }. Do you also want to sign in to this account with { $account } at { $provider }?
identity-lede-nameless = You're signed in as { $email }. Do you also want to sign in to this account with { $provider }?
identity-second = Another account at { $provider } is already connected. This one will be added.
identity-yes = Connect { $provider }
identity-no = Don't connect
identity-switch-title = Switch account?
identity-switch-lede = You're signed in as { $email }, but this account at { $provider } belongs to a different user. Switching signs { $email } out in this browser.
identity-switch-yes = Switch account
identity-switch-no = Stay signed in as { $email }

## Account
account-title = Your account
account-name = Name
account-email = Email
account-roles = Roles
account-sessions = Where you're signed in
account-current = This browser
account-session-when = Last active { $seen } · Signed in { $created }
account-device-unknown = Unknown device
account-device = { $browser } on { $system }
account-end = Sign out
account-end-label = Sign out: { $device }
account-access = Manage apps with access
account-sign-out = Sign out of this browser
account-everywhere = Sign out everywhere
account-everywhere-hint = Signing out everywhere ends your sessions on all devices. Apps with offline access keep it until you remove them under “Manage apps with access”.
account-identities = Connected providers
account-identity-when = Connected { $linked } · Last used { $used }
account-identity-disconnect = Disconnect
account-identity-disconnect-label = Disconnect: { $provider } { $account }
account-connect = Connect { $provider }
account-connect-another = Connect another account at { $provider }

done-session-ended = You've signed out that device.
done-everywhere = You're signed out on all your devices.
done-disconnected = You've disconnected that account. You can no longer sign in with it.
done-access-removed = You've removed that app's access to your account.

access-title = Apps with access
access-lede = These apps can access your account. If you remove access, an app loses it until you sign in to that app again.
access-none = No apps have access to your account.
access-resource = { $resource }: { $scopes }
access-when = Since { $since } · Last used { $used }
access-remove = Remove access
access-remove-label = Remove access: { $client }
access-back = Go back to your account
