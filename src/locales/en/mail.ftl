# Emails. A heading holds no code: it is also the subject, which lock screens show.

mail-sign-in-heading = Sign in to { $what }
mail-sign-in-intro =
    { $minutes ->
        [one] Open this link in the browser where you asked for it. It works once and expires in one minute.
       *[other] Open this link in the browser where you asked for it. It works once and expires in { $minutes } minutes.
    }
mail-sign-in-button = Sign in
mail-sign-in-code = Reading this on another device? Enter this code where you started, at { $domain }:
mail-sign-in-code-only = Enter the code only at { $domain }, and never share it. We never ask for it by phone or email.
mail-sign-in-facts = Requested from:
mail-sign-in-ignore = Didn't ask for this? Ignore this email. No one can sign in without it.

mail-no-account-heading = No account at { $what }
mail-no-account-intro = Someone tried to sign in at { $domain } with this email address, but it has no account there. You may have used a different address. To get an account, ask the administrator of { $domain }.
mail-no-account-facts = Details:
mail-no-account-ignore = Wasn't it you? Ignore this email. You get it at most once a day.

mail-access-reset-heading = Your email address is now confirmed at { $domain }
mail-access-reset-intro = You've confirmed for the first time that this email address is yours. It was entered at { $domain } earlier, without confirmation. So we ended all earlier access to the account: sign-ins on other devices, apps and connected providers.
mail-access-reset-again = If those were yours, sign in again.
mail-access-reset-facts = Details:
mail-access-reset-ignore = Wasn't it you? Someone else may be reading your email. Change the password of your email account, then tell the administrator of the website.

mail-provider-connected-heading = { $provider } is now connected to your account at { $domain }
mail-provider-connected-intro = From now on, you can sign in at { $domain } with { $provider }. You can still sign in with email.
mail-provider-connected-ignore = Wasn't it you? Sign in at { $domain } with email right away. On your account page, disconnect { $provider } and remove every app with access that you don't know. Then sign out everywhere.
mail-provider-disconnected-heading = { $provider } is no longer connected to your account at { $domain }
mail-provider-disconnected-intro = You can no longer sign in at { $domain } with { $provider }. We've ended the sessions that started with it. You can still sign in with email.
mail-provider-disconnected-ignore = Wasn't it you? Sign in at { $domain } with email right away. On your account page, remove every app with access that you don't know. Then sign out everywhere.
mail-provider-facts = Details:

mail-fact = { $label }: { $value }
mail-fact-client = App
mail-fact-device = Device
mail-fact-place = Approximate location
mail-fact-time = Time
mail-fact-domain = Website
