@https
Feature: Https
  The service speaks it itself, and shows certificates that are renewed while it runs.

  Scenario: A person signs in over https
    Given a service that speaks https
    And the person signed in on the laptop
    Then the laptop keeps its cookies for https and for this host alone
    And the account page tells the laptop to stay with https
    When the person signs out on the laptop
    Then the laptop is not signed in

  Scenario: An application gets its tokens over https
    Given a service that speaks https
    And the person signed in on the laptop
    When the application sends the laptop to sign in
    Then the laptop is back at the application with a code
    And the application gets an ID token and an access token that verify

  Scenario: A renewed certificate is shown without a restart
    Given a service that speaks https
    And the person signed in on the laptop
    When the certificate is renewed
    Then every copy shows the renewed certificate
    And the laptop is signed in

  Scenario: Https alone is spoken there
    Given a service that speaks https
    Then plain http gets no answer
