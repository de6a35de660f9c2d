Feature: Sessions
  A person sees where they are signed in and can end it.

  @BS-05
  Scenario: Signing out ends this session only
    Given the person signed in on the laptop
    And the person signed in on the phone
    When the person signs out on the laptop
    Then the laptop is not signed in
    And the phone is signed in

  Scenario: The account lists every session
    Given the person signed in on the laptop
    And the person signed in on the phone
    Then the account shows 2 sessions
    When the other session is ended on the laptop
    Then the phone is not signed in
    And the laptop is signed in

  Scenario: Signing out everywhere ends all of them
    Given the person signed in on the laptop
    And the person signed in on the phone
    When the person signs out everywhere on the laptop
    Then the laptop is not signed in
    And the phone is not signed in

  @BS-05
  Scenario: A copied cookie is dead after signing out
    Given the person signed in on the laptop
    And a thief copies the cookies of the laptop
    Then the thief is signed in
    When the person signs out on the laptop
    Then the thief is not signed in

  @BS-01
  Scenario: Cookies are kept from scripts and other sites
    Given the person signed in on the laptop
    Then the cookies of the laptop are HttpOnly, SameSite=Lax and for the whole site

  Scenario: A form on a page of another site does not sign the person out
    Given the person signed in on the laptop
    When the sign-out form is sent from a page of another site on the laptop
    Then the laptop is signed in

  @BS-06
  Scenario: Two session cookies in one request are refused
    Given the person signed in on the laptop
    Then a request with two session cookies is refused

  Scenario: Sessions outlive a restart
    Given a service of its own
    And the person signed in on the laptop
    When the service is restarted
    Then the laptop is signed in
