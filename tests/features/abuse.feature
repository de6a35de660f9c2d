Feature: Strangers learn nothing and break nothing
  Strangers may ask as often as they like: they learn nothing, and the owner gets in.

  @A1
  Scenario: Known and unknown addresses get the same answer
    Given a service where a second email has to wait for ten minutes
    And the person signed in on the laptop
    Then asking for the person and for an unknown address gives the same answer

  @A1 @A5 @OA-1
  Scenario: An address that had its emails gets no more, and the page says so
    Given the address had 6 emails, asked for by 6 strangers
    When a stranger asks for one more
    Then the stranger learns that no email goes to this address for now, and when again
    And just 6 emails arrive

  @A6
  Scenario: A known device still gets its email when strangers spent the address's budget
    Given the person signed in on the laptop
    And the laptop signed out
    And the address's emails were used up by strangers
    When an email is asked for on the laptop
    Then one more email arrives

  @D2 @D4
  Scenario: Five wrong codes end the code, and the link still works
    Given an email was asked for on the laptop
    When a wrong code is typed 5 times on the laptop
    And the code is typed on the laptop
    Then the laptop is refused because the code is wrong
    And the laptop is not signed in
    When the link is used on the laptop
    Then the laptop is signed in

  @D2
  Scenario: Asking again does not give new tries
    Given an email was asked for on the laptop
    When a wrong code is typed 5 times on the laptop
    And another email is asked for from the waiting page, as soon as that is allowed
    And the code of email 2 is typed on the laptop
    Then the laptop is refused because the code is wrong
    And the laptop is not signed in

  @G9
  Scenario: With sign-up closed a stranger gets nothing and sees the usual answer
    Given a service of its own
    And the person signed in on the laptop
    And sign-up is closed now
    When an email to a stranger was asked for, and one to the person after it
    Then the person's email arrives and the stranger's does not

  @A7
  Scenario: A forged forwarding header does not help
    Then a service without trusted proxies counts all askers as one, whatever they claim

  @E4
  Scenario Outline: What is no address is refused with words that help
    When "<text>" is given as the address on the laptop
    Then the laptop is refused with a message

    Examples:
      | text                    |
      | anna                    |
      | @example.test           |
      | anna@                   |
      | "anna b"@example.test   |
      | anna@[127.0.0.1]        |
      | anna@exa mple.test      |
