import com.starrocks.data.load.stream.StreamLoadDataFormat;
import com.starrocks.data.load.stream.StreamLoadSnapshot;
import com.starrocks.data.load.stream.properties.StreamLoadProperties;
import com.starrocks.data.load.stream.properties.StreamLoadTableProperties;
import com.starrocks.data.load.stream.v2.StreamLoadManagerV2;

/**
 * Loads rows into shop.orders with StarRocks' own loader, the one inside its Flink and Kafka connectors. Arguments:
 * frontend's HTTP address, MySQL address, password, then "transactions" or "stream-load", "json" or "csv".
 */
public final class Load {
    private static final int ROWS = 1000;

    public static void main(String[] arguments) throws Exception {
        boolean inTransactions = arguments[3].equals("transactions");
        boolean isJson = arguments[4].equals("json");
        StreamLoadTableProperties.Builder table =
                StreamLoadTableProperties.builder().database("shop").table("orders").uniqueKey("shop.orders");
        StreamLoadProperties.Builder properties = StreamLoadProperties.builder()
                .loadUrls(arguments[0])
                .jdbcUrl("jdbc:mysql://" + arguments[1])
                .username("root")
                .password(arguments[2])
                .version("4.0.0")
                .labelPrefix("sdk-");
        if (isJson) {
            table.streamLoadDataFormat(StreamLoadDataFormat.JSON)
                    .addProperty("format", "json")
                    .addProperty("strip_outer_array", "true")
                    .addProperty("ignore_json_size", "true");
        } else {
            table.streamLoadDataFormat(new StreamLoadDataFormat.CSVFormat("\n"))
                    .addProperty("format", "csv")
                    .addProperty("column_separator", "\t");
        }
        if (inTransactions) {
            properties.enableTransaction();
        }
        StreamLoadManagerV2 manager = new StreamLoadManagerV2(properties.defaultTableProperties(table.build()).build(), !inTransactions);
        manager.init();
        for (int id = 0; id < ROWS; id++) {
            String json = "{\"id\": " + id + ", \"name\": \"n" + id + "\", \"amount\": \"" + id + ".25\"}";
            manager.write(null, "shop", "orders", isJson ? json : id + "\tn" + id + "\t" + id + ".25\t\\N\t\\N");
        }
        manager.flush();
        if (inTransactions) {
            StreamLoadSnapshot snapshot = manager.snapshot();
            check(manager.prepare(snapshot), "prepared");
            System.out.println("prepared " + snapshot.getTransactions().size());
            System.in.read();
            check(manager.commit(snapshot), "committed");
        }
        check(manager.getException() == null, String.valueOf(manager.getException()));
        manager.close();
        System.out.println("ok");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
