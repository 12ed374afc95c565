"""oss2: what buckets and objects are set to."""
import oss2
from oss2 import exceptions
from oss2 import models

from harness import REGION, equal


def config_cases(bucket, service, refused):
    def an_object_acl_is_set_and_read_back():
        bucket.put_object('configs/acl', b'x')
        equal(bucket.get_object_acl('configs/acl').acl, oss2.OBJECT_ACL_DEFAULT)
        bucket.put_object_acl('configs/acl', oss2.OBJECT_ACL_PUBLIC_READ)
        equal(bucket.get_object_acl('configs/acl').acl, oss2.OBJECT_ACL_PUBLIC_READ)

    def object_tags_are_set_read_back_and_deleted():
        bucket.put_object('configs/tags', b'x')
        rule = models.TaggingRule()
        rule.add('a b', '1+1')
        rule.add('c', '')
        bucket.put_object_tagging('configs/tags', models.Tagging(rule))
        equal(bucket.get_object_tagging('configs/tags').tag_set.tagging_rule, {'a b': '1+1', 'c': ''})
        bucket.delete_object_tagging('configs/tags')
        equal(bucket.get_object_tagging('configs/tags').tag_set.len(), 0)

    def a_link_is_put_read_and_read_through():
        bucket.put_object('configs/目标', b'hello')
        bucket.put_symlink('configs/目标', 'configs/link')
        equal(bucket.get_symlink('configs/link').target_key, 'configs/目标')
        equal(bucket.get_object('configs/link').read(), b'hello')
        equal(bucket.head_object('configs/link').object_type, 'Symlink')

    def bucket_tags_are_set_read_back_and_deleted():
        rule = models.TaggingRule()
        rule.add('key', 'value')
        bucket.put_bucket_tagging(models.Tagging(rule))
        equal(bucket.get_bucket_tagging().tag_set.tagging_rule, {'key': 'value'})
        bucket.delete_bucket_tagging()
        equal(bucket.get_bucket_tagging().tag_set.len(), 0)

    def cors_rules_are_set_read_back_and_deleted_twice():
        rule = models.CorsRule(allowed_origins=['*'], allowed_methods=['HEAD', 'GET'], allowed_headers=['*'],
                               expose_headers=['x-oss-request-id'], max_age_seconds=1000)
        bucket.put_bucket_cors(models.BucketCors([rule], True))
        told = bucket.get_bucket_cors()
        equal(told.response_vary, True)
        equal((told.rules[0].allowed_methods, told.rules[0].max_age_seconds), (['HEAD', 'GET'], 1000))
        bucket.delete_bucket_cors()
        bucket.delete_bucket_cors()
        refused(exceptions.NoSuchCors, bucket.get_bucket_cors)

    def a_referer_list_is_set_read_back_and_reset():
        bucket.put_bucket_referer(models.BucketReferer(False, ['http://a.test'], False, ['http://evil.test']))
        told = bucket.get_bucket_referer()
        equal((told.allow_empty_referer, told.referers, told.allow_truncate_query_string, told.black_referers),
              (False, ['http://a.test'], False, ['http://evil.test']))
        bucket.put_bucket_referer(models.BucketReferer(True, []))
        told = bucket.get_bucket_referer()
        equal((told.allow_empty_referer, told.referers), (True, []))

    def a_website_is_set_read_back_and_deleted():
        condition = models.Condition(key_prefix_equals='k', http_err_code_return_equals=404)
        redirect = models.Redirect(redirect_type='External', proto='https', host_name='b.test', http_redirect_code=302)
        rule = models.RoutingRule(rule_num=1, condition=condition, redirect=redirect)
        bucket.put_bucket_website(models.BucketWebsite('index.html', 'error.html', [rule]))
        told = bucket.get_bucket_website()
        equal((told.index_file, told.error_file, told.rules[0].redirect.host_name),
              ('index.html', 'error.html', 'b.test'))
        bucket.delete_bucket_website()
        refused(exceptions.NoSuchWebsite, bucket.get_bucket_website)

    def lifecycle_rules_are_set_read_back_and_deleted():
        rule = models.LifecycleRule('one', 'logs/', expiration=models.LifecycleExpiration(days=400))
        rule.storage_transitions = [models.StorageTransition(days=30, storage_class='IA')]
        rule.abort_multipart_upload = models.AbortMultipartUpload(days=3)
        bucket.put_bucket_lifecycle(models.BucketLifecycle([rule]))
        told = bucket.get_bucket_lifecycle().rules[0]
        equal((told.id, told.prefix, told.status, told.expiration.days), ('one', 'logs/', 'Enabled', 400))
        equal(told.storage_transitions[0].storage_class, 'IA')
        equal(told.abort_multipart_upload.days, 3)
        bucket.delete_bucket_lifecycle()
        refused(exceptions.NoSuchLifecycle, bucket.get_bucket_lifecycle)

    def logging_is_switched_on_and_off_twice():
        bucket.put_bucket_logging(models.BucketLogging(bucket.bucket_name, '日志+/'))
        told = bucket.get_bucket_logging()
        equal((told.target_bucket, told.target_prefix), (bucket.bucket_name, '日志+/'))
        bucket.delete_bucket_logging()
        bucket.delete_bucket_logging()
        equal(bucket.get_bucket_logging().target_bucket, '')

    def who_pays_is_set_and_read_back():
        bucket.put_bucket_request_payment('Requester')
        equal(bucket.get_bucket_request_payment().payer, 'Requester')
        bucket.put_bucket_request_payment('BucketOwner')

    def a_policy_is_set_and_read_back():
        policy = ('{"Version":"1","Statement":[{"Action":["oss:GetObject"],"Effect":"Allow","Principal":["27"],'
                  f'"Resource":["acs:oss:*:*:{bucket.bucket_name}/*"]}}]}}')
        bucket.put_bucket_policy(policy)
        equal(bucket.get_bucket_policy().policy, policy)
        bucket.delete_bucket_policy()

    def inventories_are_put_told_and_listed():
        destination = models.InventoryBucketDestination(account_id='1', role_arn='acs:ram::1:role/r',
                                                        bucket=bucket.bucket_name, inventory_format='CSV', prefix='out',
                                                        sse_oss_encryption=models.InventoryServerSideEncryptionOSS())
        inventory = models.InventoryConfiguration(
            inventory_id='weekly', is_enabled=True, inventory_schedule=models.InventorySchedule('Weekly'),
            included_object_versions='Current', inventory_filter=models.InventoryFilter('p'),
            optional_fields=['Size'], inventory_destination=models.InventoryDestination(destination))
        bucket.put_bucket_inventory_configuration(inventory)
        told = bucket.get_bucket_inventory_configuration('weekly')
        equal((told.inventory_id, told.is_enabled, told.inventory_schedule.frequency), ('weekly', True, 'Weekly'))
        equal(told.inventory_destination.bucket_destination.bucket, bucket.bucket_name)
        equal(told.inventory_destination.bucket_destination.sse_oss_encryption is not None, True)
        equal(len(bucket.list_bucket_inventory_configurations().inventory_configurations), 1)
        bucket.delete_bucket_inventory_configuration('weekly')

    def public_access_is_blocked_and_opened():
        equal(bucket.get_bucket_public_access_block().block_public_access, False)
        bucket.put_bucket_public_access_block(True)
        equal(bucket.get_bucket_public_access_block().block_public_access, True)
        refused(exceptions.AccessDenied, bucket.put_bucket_acl, oss2.BUCKET_ACL_PUBLIC_READ)
        bucket.delete_bucket_public_access_block()

    def regions_are_described():
        equal([region.region for region in service.describe_regions().regions], [f'oss-{REGION}'])

    def what_the_bucket_encrypts_is_encrypted_and_told_so():
        told = lambda answer: answer.headers.get('x-oss-server-side-encryption')
        refused(exceptions.NoSuchServerSideEncryptionRule, bucket.get_bucket_encryption)
        rule = models.ServerSideEncryptionRule()
        rule.sse_algorithm = 'KMS'
        refused(exceptions.ServerError, bucket.put_bucket_encryption, rule)
        rule.sse_algorithm = 'AES256'
        bucket.put_bucket_encryption(rule)
        equal(bucket.get_bucket_encryption().sse_algorithm, 'AES256')
        equal(bucket.get_bucket_info().bucket_encryption_rule.sse_algorithm, 'AES256')
        equal(told(bucket.put_object('encrypted', b'secret')), 'AES256')
        bucket.delete_bucket_encryption()
        equal(told(bucket.head_object('encrypted')), 'AES256')
        equal(bucket.get_object('encrypted', byte_range=(1, 3)).read(), b'ecr')
        equal(told(bucket.put_object('plain', b'open')), None)
        asked = {'x-oss-server-side-encryption': 'AES256'}
        first = bucket.append_object('encrypted.log', 0, b'one', headers=asked, init_crc=0)
        equal(told(first), 'AES256')
        equal(told(bucket.append_object('encrypted.log', 3, b' two', init_crc=first.crc)), 'AES256')
        equal(bucket.get_object('encrypted.log').read(), b'one two')
        upload = bucket.init_multipart_upload('encrypted.parts', headers=asked)
        equal(told(upload), 'AES256')
        part = bucket.upload_part('encrypted.parts', upload.upload_id, 1, b'part')
        equal(told(part), 'AES256')
        parts = [models.PartInfo(1, part.etag)]
        equal(told(bucket.complete_multipart_upload('encrypted.parts', upload.upload_id, parts)), 'AES256')
        equal(told(bucket.copy_object(bucket.bucket_name, 'encrypted.parts', 'copy', headers=asked)), 'AES256')
        equal(bucket.get_object('copy').read(), b'part')
        for name in ['encrypted', 'plain', 'encrypted.log', 'encrypted.parts', 'copy']:
            bucket.delete_object(name)

    def what_clean_ups_ask_for_is_empty():
        equal(bucket.list_live_channel().channels, [])
        equal(bucket.get_bucket_access_monitor().access_monitor.status, 'Disabled')
        equal(bucket.get_bucket_versioning().status, None)
        bucket.delete_bucket_encryption()

    return [an_object_acl_is_set_and_read_back, object_tags_are_set_read_back_and_deleted,
            a_link_is_put_read_and_read_through, bucket_tags_are_set_read_back_and_deleted,
            cors_rules_are_set_read_back_and_deleted_twice, a_referer_list_is_set_read_back_and_reset,
            a_website_is_set_read_back_and_deleted, lifecycle_rules_are_set_read_back_and_deleted,
            logging_is_switched_on_and_off_twice, who_pays_is_set_and_read_back, a_policy_is_set_and_read_back,
            inventories_are_put_told_and_listed, public_access_is_blocked_and_opened, regions_are_described,
            what_the_bucket_encrypts_is_encrypted_and_told_so, what_clean_ups_ask_for_is_empty]
