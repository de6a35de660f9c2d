Feature: The email
  It is plain, honest and safe to forward to a screen reader.

  @mail @G7 @D6
  Scenario: The email is small, whole and says who asked
    Given an email was asked for on the laptop
    Then the email has text and HTML, is under 30 KB and fetches nothing
    And the subject does not hold the code
    And the email names the only site to type the code at

  @mail
  Scenario: In the language of the browser
    Given the laptop speaks "fr"
    When an email is asked for on the laptop
    Then the email is written in French

  @sink @G3 @X6
  Scenario: A mail server that says "later" gets the email again
    Given the mail server says "later" to this address
    When an email is asked for on the laptop
    And the mail server was tried once
    And the mail server takes email again
    Then an email arrives within 30 seconds

  @sink @G3 @X6
  Scenario: A mail server that says "never" is not asked again
    Given the mail server says "never" to this address
    When an email is asked for on the laptop
    And the mail server was tried once
    And an email to a stranger was asked for on the phone
    Then the mail server was tried once

  @sink @G1 @X6
  Scenario: The connection breaks after the email: at most one more, and both work
    Given the mail server says "drop after data" to this address
    When an email is asked for on the laptop
    And the mail server takes email again after the first email
    Then 2 emails arrive
    When the link of email 1 is used on the laptop
    Then the laptop is signed in

  @sink @G3 @X6
  Scenario: The connection breaks in the middle of the email
    Given the mail server says "drop in data" to this address
    When an email is asked for on the laptop
    And the mail server was tried once
    And the mail server takes email again
    Then an email arrives within 30 seconds
