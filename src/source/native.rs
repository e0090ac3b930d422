//! The C calls that rdkafka has no safe form of. The only file with `unsafe`.
#![allow(unsafe_code, reason = "librdkafka functions without a safe wrapper; each is wrapped here once")]

use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::Context;
use super::membership::Identity;
use crate::domain::{Offset, Partition};

/// Member id and generation as the client has them now; `None` outside a group. Takes microseconds.
pub(super) fn identity(consumer: &BaseConsumer<Context>) -> Option<Identity> {
    // SAFETY: the handle lives as long as `consumer`. The returned object is ours and destroyed once, below; the member
    // id is a NUL-terminated string inside it and copied before that.
    unsafe {
        let metadata = c::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return None;
        }
        let member = text(c::rd_kafka_consumer_group_metadata_member_id(metadata)).unwrap_or_default();
        let generation = c::rd_kafka_consumer_group_metadata_generation_id(metadata);
        c::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(Identity { member, generation })
    }
}

/// Leader epoch of the record's batch, -1 if the broker gave none.
pub(super) fn leader_epoch(message: &BorrowedMessage<'_>) -> i32 {
    // SAFETY: the pointer is valid as long as the message is borrowed; the call only reads it.
    unsafe { c::rd_kafka_message_leader_epoch(message.ptr()) }
}

/// Headers of a record, in order. A name that is not UTF-8 reads as empty (rdkafka's own accessor panics on it).
pub(super) fn headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (&'m str, Option<&'m [u8]>)> + use<'m> {
    let mut handle = ptr::null_mut();
    // SAFETY: the message is borrowed for as long as the iterator lives, and librdkafka keeps its headers with it.
    let count = unsafe {
        let code = c::rd_kafka_message_headers(message.ptr(), &raw mut handle);
        if code == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { c::rd_kafka_header_cnt(handle) } else { 0 }
    };
    (0..count).map_while(move |index| {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: as above; after a success `name` is a NUL-terminated string and `value` is null or holds `size` bytes,
        // both inside the message.
        unsafe {
            let code = c::rd_kafka_header_get_all(handle, index, &raw mut name, &raw mut value, &raw mut size);
            if code != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            Some((CStr::from_ptr(name).to_str().unwrap_or_default(), value))
        }
    })
}

/// Makes the client keep a state for `partition`, so that it can be paused before it is assigned.
pub(super) fn make_known(consumer: &BaseConsumer<Context>, topic: &str, partition: Partition) {
    // Asking for the position of an unknown partition creates its state (`rd_kafka_toppar_get2`, create on miss).
    let _none_yet = position(consumer, topic, partition);
}

/// The position that the client has reached in `partition`; `None` before the first record after a seek.
pub(super) fn position(consumer: &BaseConsumer<Context>, topic: &str, partition: Partition) -> Option<Offset> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    // SAFETY: both handles are alive; librdkafka writes the offset and the error of each element and keeps nothing.
    let code = unsafe { c::rd_kafka_position(consumer.client().native_ptr(), list.ptr()) };
    if code != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    elements(&list).into_iter().next().and_then(|element| element.offset)
}

/// One element of a list, with what other programs may have written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) partition: Partition,
    /// `None` for anything that is not an offset (none stored, the end of the log).
    pub(super) offset: Option<Offset>,
    /// Metadata; bytes that are not UTF-8 are replaced (rdkafka's own accessor panics on them).
    pub(super) metadata: String,
    pub(super) error: Option<RDKafkaErrorCode>,
}

/// Copies a list.
pub(super) fn elements(list: &TopicPartitionList) -> Vec<Element> {
    let count = list.count();
    let mut copied = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: a list holds `count` elements from `elems` on; `metadata` is null or points to `metadata_size` bytes
        // that belong to the element. The list is borrowed, nothing changes it meanwhile.
        let (element, metadata) = unsafe {
            let element = &*(*list.ptr()).elems.add(index);
            let metadata = if element.metadata.is_null() {
                &[][..]
            } else {
                std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size)
            };
            (element, metadata)
        };
        let no_error = element.err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        copied.push(Element {
            partition: element.partition,
            offset: (element.offset >= 0).then_some(element.offset),
            metadata: String::from_utf8_lossy(metadata).into_owned(),
            error: (!no_error).then(|| element.err.into()),
        });
    }
    copied
}

/// The id that the cluster gave the topic when it was created, as Kafka's tools print it; `None` if the cluster has no
/// such ids (brokers before 2.8) or does not answer this question.
///
/// `broker` is asked: any broker knows, and librdkafka's mock cluster names no controller.
///
/// # Errors
/// The error code when the topic can't be described, `None` when nobody answered within `timeout`.
pub(super) fn topic_id(
    client: &Client<Context>,
    broker: i32,
    topic: &str,
    timeout: Duration,
) -> Result<Option<String>, Option<RDKafkaErrorCode>> {
    let Ok(name) = CString::new(topic) else { return Err(Some(RDKafkaErrorCode::InvalidTopic)) };
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: the handle lives as long as `client`. Names, options and queue are created here and destroyed once, after
    // their last use; librdkafka copies the names and the options. A result that comes after the queue is gone is
    // dropped by librdkafka.
    unsafe {
        let options = c::rd_kafka_AdminOptions_new(handle, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut refusal = [0 as c_char; 128];
        c::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds, refusal.as_mut_ptr(), refusal.len());
        c::rd_kafka_AdminOptions_set_broker(options, broker, refusal.as_mut_ptr(), refusal.len());
        let topics = c::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = c::rd_kafka_queue_new(handle);
        c::rd_kafka_DescribeTopics(handle, topics, options, queue);
        let event = c::rd_kafka_queue_poll(queue, milliseconds);
        let answer = if event.is_null() { Err(None) } else { described_id(event) };
        if !event.is_null() {
            c::rd_kafka_event_destroy(event);
        }
        c::rd_kafka_queue_destroy(queue);
        c::rd_kafka_TopicCollection_destroy(topics);
        c::rd_kafka_AdminOptions_destroy(options);
        answer
    }
}

/// Base64 of sixteen zero bytes: "no id".
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// # Safety
/// `event` must be a live event; everything read here lives inside it.
unsafe fn described_id(event: *mut c::rd_kafka_event_t) -> Result<Option<String>, Option<RDKafkaErrorCode>> {
    const NO_ERROR: c::rd_kafka_resp_err_t = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: by the contract of this function; null results are checked before they are followed.
    unsafe {
        let code = c::rd_kafka_event_error(event);
        if code != NO_ERROR {
            return Err(Some(code.into()));
        }
        let result = c::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(None);
        }
        let mut count = 0;
        let described = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if described.is_null() || count == 0 {
            return Err(None);
        }
        let error = c::rd_kafka_TopicDescription_error(*described);
        if !error.is_null() && c::rd_kafka_error_code(error) != NO_ERROR {
            return Err(Some(c::rd_kafka_error_code(error).into()));
        }
        let id = c::rd_kafka_TopicDescription_topic_id(*described);
        let id = if id.is_null() { None } else { text(c::rd_kafka_Uuid_base64str(id)) };
        Ok(id.filter(|id| id != NO_ID))
    }
}

/// # Safety
/// `string` must be null or a live NUL-terminated string.
unsafe fn text(string: *const c_char) -> Option<String> {
    if ptr::eq(string, ptr::null()) {
        return None;
    }
    // SAFETY: by the contract of this function.
    Some(unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_survive_foreign_metadata() {
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 3).set_metadata("plain");
        let foreign = [b'a', 0xff, b'b'];
        list.add_partition("t", 4);
        // SAFETY: the list is ours; librdkafka frees metadata with the C allocator, which also made this copy.
        unsafe {
            let element = &mut *(*list.ptr()).elems.add(1);
            let copy = c::rd_kafka_mem_malloc(ptr::null_mut(), foreign.len());
            ptr::copy_nonoverlapping(foreign.as_ptr(), copy.cast::<u8>(), foreign.len());
            element.metadata = copy;
            element.metadata_size = foreign.len();
            element.offset = 7;
        }
        let copied = elements(&list);
        assert_eq!(copied[0], Element { partition: 3, offset: None, metadata: "plain".into(), error: None });
        assert_eq!(copied[1].metadata, "a\u{fffd}b");
        assert_eq!(copied[1].offset, Some(7));
    }
}
