import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Properties;

/** Runs the verifier of docs/verify-tokens.md: answers each line, a token, with what it says of it. */
public final class Main {
    public static void main(String[] args) throws Exception {
        var version = new Properties();
        try (var file = Main.class.getResourceAsStream("/META-INF/maven/com.nimbusds/nimbus-jose-jwt/pom.properties")) {
            version.load(file);
        }
        System.out.println("version " + version.getProperty("version"));
        var verifier = new Verifier(System.getenv("ISSUER"), System.getenv("AUDIENCE"));
        System.out.println("did the file of the document, unchanged");
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (var line = lines.readLine(); line != null; line = lines.readLine()) {
            String answer;
            try {
                answer = "accepted " + verifier.verify(line).getSubject();
            } catch (Exception error) {
                answer = "refused " + String.valueOf(error.getMessage()).replaceAll("\\s+", " ");
            }
            System.out.println(answer);
        }
    }
}
