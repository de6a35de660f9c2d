Feature: A token for an application
  Any standard client signs people in here and gets tokens that anyone can verify.

  @E8
  Scenario: From the application through the email to verified tokens
    When the application sends the laptop to sign in
    And the person asks for an email there and uses its link
    Then the laptop is back at the application with a code
    And the application gets an ID token and an access token that verify
    And the tokens say that a mailed secret was used

  Scenario: By code instead of link
    When the application sends the laptop to sign in
    And the person asks for an email there and types its code
    Then the laptop is back at the application with a code
    And the application gets an ID token and an access token that verify

  Scenario: A person who is signed in goes straight through
    Given the person signed in on the laptop
    When the application sends the laptop to sign in
    Then the laptop is back at the application with a code
    And the application gets an ID token and an access token that verify

  Scenario: A code is good once
    Given the person signed in on the laptop
    When the application sends the laptop to sign in
    And the application exchanges the code
    Then exchanging it again is refused as "invalid_grant"

  Scenario: A code is worth nothing without the verifier
    Given the person signed in on the laptop
    When the application sends the laptop to sign in
    Then exchanging the code with another verifier is refused as "invalid_grant"

  @F1
  Scenario Outline: No answer goes to an address that is not registered
    When the application sends the laptop to sign in, to be answered at "<address>"
    Then the laptop sees an error page and is sent nowhere

    Examples:
      | address                                   |
      | https://evil.example/callback             |
      | http://127.0.0.1:7777/callback/../evil    |
      | http://127.0.0.1:7777/callback?x=1        |
      | http://127.0.0.1:7777/Callback            |
      | http://127.0.0.1:7777/callback%2f..       |
      | http://127.0.0.1.evil.example/callback    |
      | javascript:alert(1)                       |

  Scenario: The subject stays the same from sign-in to sign-in
    When the application signs the person in on the laptop
    And the application signs the person in on the phone
    Then both tokens name the same subject
