import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import org.apache.seatunnel.api.table.catalog.TablePath;
import org.apache.seatunnel.connectors.doris.config.DorisConfig;
import org.apache.seatunnel.connectors.doris.exception.DorisConnectorException;
import org.apache.seatunnel.connectors.doris.rest.models.RespContent;
import org.apache.seatunnel.connectors.doris.sink.committer.DorisCommitInfo;
import org.apache.seatunnel.connectors.doris.sink.committer.DorisCommitter;
import org.apache.seatunnel.connectors.doris.sink.writer.DorisStreamLoad;
import org.apache.seatunnel.connectors.doris.sink.writer.LabelGenerator;
import org.apache.seatunnel.connectors.doris.util.HttpUtil;

/**
 * Loads rows into shop.orders with Apache SeaTunnel's Doris sink, as a job does from checkpoint to checkpoint: the first one
 * is committed, the second one is left behind and aborted by a job that starts again. Arguments: address, password, "json" or
 * "csv".
 */
public final class Checkpoints {
    private static final int ROWS = 1000;

    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        boolean isJson = arguments[2].equals("json");
        DorisConfig config = new DorisConfig();
        config.setFrontends(address);
        config.setUsername("root");
        config.setPassword(arguments[1]);
        config.setDatabase("shop");
        config.setTable("orders");
        config.setEnable2PC(true);
        config.setEnableDelete(false);
        config.setLabelPrefix("seatunnel");
        config.setMaxRetries(1);
        config.setBufferSize(4096);
        config.setBufferCount(3);
        Properties properties = new Properties();
        properties.setProperty("format", arguments[2]);
        if (isJson) {
            properties.setProperty("read_json_by_line", "true");
        } else {
            properties.setProperty("column_separator", ",");
        }
        config.setStreamLoadProps(properties);

        LabelGenerator labels = new LabelGenerator("seatunnel", true);
        DorisStreamLoad job = job(address, config, labels);
        RespContent first = checkpoint(job, labels, 1, isJson);
        RespContent second = checkpoint(job, labels, 2, isJson);
        System.out.println("prepared " + first.getStatus() + " " + second.getStatus() + " " + first.getTwoPhaseCommit());
        System.in.read();

        try (AutoCloseable closing = () -> job.close()) {
            DorisCommitter committer = new DorisCommitter(config, new HttpUtil().getHttpClient());
            List<DorisCommitInfo> done = List.of(new DorisCommitInfo(address, "shop", first.getTxnId()));
            committer.commit(done);
            try {
                committer.commit(done);
                System.out.println("committed again");
            } catch (DorisConnectorException error) {
                System.out.println("refused again " + error.getMessage().contains("is already"));
            }
        }
        job(address, config, labels).abortPreCommit("seatunnel", 2);
        System.out.println("ok");
        System.exit(0);
    }

    private static DorisStreamLoad job(String address, DorisConfig config, LabelGenerator labels) {
        return new DorisStreamLoad(address, TablePath.of("shop", "orders"), config, labels, new HttpUtil().getHttpClient());
    }

    private static RespContent checkpoint(DorisStreamLoad job, LabelGenerator labels, long number, boolean isJson) throws Exception {
        job.startLoad(labels.generateLabel(number));
        for (long row = 0; row < ROWS; row++) {
            long id = number * ROWS + row;
            String text = isJson
                    ? "{\"id\": " + id + ", \"name\": \"n" + id + "\", \"amount\": \"" + row + ".25\"}"
                    : id + ",n" + id + "," + row + ".25,\\N,\\N";
            job.writeRecord(text.getBytes(StandardCharsets.UTF_8));
        }
        return job.stopLoad();
    }
}
