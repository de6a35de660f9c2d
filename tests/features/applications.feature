@applications
Feature: What an application may do, and for how long
  Tokens are renewed, allowed, demanded afresh, and taken back.

  @RF-6
  Scenario: A refresh gives the next token, and a lost answer is given once more
    Given the person signed in on the laptop
    When the desk gets its tokens on the laptop
    And the desk refreshes
    And the desk repeats the refresh, as if the answer had been lost
    Then both answers have the same refresh token
    And the new access token verifies and names the same subject

  @RF-6
  Scenario: A refresh token that comes back after its successor was used ends everything
    Given the person signed in on the laptop
    When the desk gets its tokens on the laptop
    And the desk refreshes
    And the desk refreshes
    Then the desk's first refresh token is refused as "invalid_grant"
    And the desk's newest refresh token is refused as "invalid_grant"
    And userinfo refuses the desk's newest access token

  @RF-6 @clock
  Scenario: A minute later the token before is no lost answer any more
    Given a service whose clock can be moved
    And the person signed in on the laptop
    When the desk gets its tokens on the laptop
    And the desk refreshes
    And 2 minutes pass
    Then the desk's first refresh token is refused as "invalid_grant"
    And the desk's newest refresh token is refused as "invalid_grant"

  @TK-6 @clock
  Scenario: A code that comes back late takes away what it gave
    Given a service whose clock can be moved
    And the person signed in on the laptop
    When the desk gets its tokens on the laptop
    And 1 minutes pass
    Then exchanging it again is refused as "invalid_grant"
    And the desk's newest refresh token is refused as "invalid_grant"

  @ES-7 @RF-9
  Scenario: Signing out everywhere ends what hangs on a session, and spares what was granted beyond it
    Given the person signed in on the laptop
    And the person signed in on the phone
    When the desk gets its tokens on the laptop
    And the kiosk gets its tokens on the laptop
    And the kiosk refreshes
    And the person signs out everywhere on the phone
    Then the kiosk's newest refresh token is refused as "invalid_grant"
    And the desk refreshes

  @ES-7
  Scenario: Signing out on another device ends nothing of this one
    Given the person signed in on the laptop
    And the person signed in on the phone
    When the kiosk gets its tokens on the laptop
    And the person signs out on the phone
    Then the kiosk refreshes

  @SE-3 @PM-6
  Scenario: A third-party application is allowed once, and asks again for more
    Given the person signed in on the laptop
    When the choir sends the laptop to sign in for "openid email"
    Then the laptop is asked whether to allow "Choir"
    When the person allows it on the laptop
    Then the laptop is back at the application with a code
    When the choir sends the laptop to sign in for "openid email"
    Then the laptop is back at the application with a code
    When the choir sends the laptop to sign in for "openid email profile"
    Then the laptop is asked whether to allow "Choir"

  Scenario: A denied request goes back to the application as an error, and nothing is remembered
    Given the person signed in on the laptop
    When the choir sends the laptop to sign in for "openid"
    And the person does not allow it on the laptop
    Then the laptop is back at the application with the error "access_denied"
    When the choir sends the laptop to sign in for "openid"
    Then the laptop is asked whether to allow "Choir"

  Scenario: One person's permission is not another's
    Given the person signed in on the laptop
    When the choir sends the laptop to sign in for "openid"
    And the person allows it on the laptop
    And another person signs in on the phone
    And the choir sends the phone to sign in for "openid"
    Then the phone is asked whether to allow "Choir"

  @PM-3 @clock
  Scenario: An application that needs a fresh proof gets one, within the same session
    Given a service whose clock can be moved
    And the person signed in on the laptop
    When the desk gets its tokens on the laptop
    And 30 minutes pass
    And the desk demands a proof that is not older than 10 minutes
    Then the laptop is asked to sign in
    When the person asks for an email there and uses its link
    Then the laptop is back at the application with a code
    And the new tokens tell of the later proof and the same session

  @PM-3
  Scenario: Without a fresh proof nothing is given in silence
    Given the person signed in on the laptop
    When the desk demands a fresh proof without a page
    Then the laptop is back at the application with the error "login_required"

  @TK-15
  Scenario: An application acts for itself
    When the report asks for a token of its own for "lessons:read"
    Then it gets an access token that verifies and names the report itself
    And it gets neither an ID token nor a refresh token
    And userinfo refuses that token

  @TK-15
  Scenario Outline: An application that may not act for itself is refused
    When the <application> asks with the secret "<secret>" for a token of its own for "<scope>"
    Then it is refused with <status> as "<error>"

    Examples:
      | application | secret | scope         | status | error               |
      | report      | wrong  | lessons:read  | 401    | invalid_client      |
      | report      | right  | lessons:write | 400    | invalid_scope       |
      | report      | right  | openid        | 400    | invalid_scope       |
      | choir       | none   | lessons:read  | 400    | unauthorized_client |
